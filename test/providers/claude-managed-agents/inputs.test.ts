/** What a session is sent. */
import { describe, expect, it } from 'vitest';
import {
  customToolResult,
  definedOutcome,
  toolConfirmation,
  userMessage,
} from '../../../src/providers/claude-managed-agents/inputs.js';

describe('an outcome', () => {
  const description = 'A poem';

  it('is sent with its rubric, as text or as a file', () => {
    expect(definedOutcome({ description, rubric: 'It rhymes', maxIterations: 3 })).toEqual([
      { type: 'user.define_outcome', description, rubric: { type: 'text', content: 'It rhymes' }, max_iterations: 3 },
    ]);
    expect(definedOutcome({ description, rubric: { fileId: 'file_1' } })).toEqual([
      { type: 'user.define_outcome', description, rubric: { type: 'file', file_id: 'file_1' } },
    ]);
  });
});

describe('a decision', () => {
  it('is a confirmation, and says why not only when it is a denial', () => {
    const type = 'user.tool_confirmation';
    const tool_use_id = 't1';
    expect(toolConfirmation({ toolUseId: 't1', isAllowed: true, reason: 'fine' })).toEqual({
      type,
      tool_use_id,
      result: 'allow',
    });
    expect(toolConfirmation({ toolUseId: 't1', isAllowed: false })).toEqual({ type, tool_use_id, result: 'deny' });
    expect(toolConfirmation({ toolUseId: 't1', isAllowed: false, reason: 'Not now' })).toEqual({
      type,
      tool_use_id,
      result: 'deny',
      deny_message: 'Not now',
    });
  });
});

it('a result says whether it is an error', () => {
  expect(customToolResult({ toolUseId: 'c1', name: 'n', text: 'no', isError: true })).toEqual({
    type: 'user.custom_tool_result',
    custom_tool_use_id: 'c1',
    content: [{ type: 'text', text: 'no' }],
    is_error: true,
  });
});

describe('a prompt', () => {
  it('is text, images and documents', () => {
    const base64 = { type: 'base64', data: 'AAAA' };
    expect(
      userMessage([
        { text: 'Look' },
        { media: { url: 'https://x/y.png', contentType: 'image/png' } },
        { media: { url: 'data:image/png;base64,AAAA' } },
        { media: { url: 'data:application/pdf;base64,AAAA' } },
      ]),
    ).toEqual([
      {
        type: 'user.message',
        content: [
          { type: 'text', text: 'Look' },
          { type: 'image', source: { type: 'url', url: 'https://x/y.png' } },
          { type: 'image', source: { ...base64, media_type: 'image/png' } },
          { type: 'document', source: { ...base64, media_type: 'application/pdf' } },
        ],
      },
    ]);
  });

  it('of something else is refused', () => {
    expect(() => userMessage([{ text: 'a' }, { data: 1 }])).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE', issues: [expect.objectContaining({ path: 'prompt.1' })] }),
    );
  });
});
