/** What a managed agent's session is sent. */
import { InvalidValueError } from '../../errors.js';
import type { Outcome, Prompt, ToolDecision, ToolResult } from '../provider.js';
import type { RawEvent } from '../raw-event.js';

/** A prompt. Throws `INVALID_VALUE` for a part that is neither text nor media. */
export function userMessage(prompt: Prompt): RawEvent[] {
  return [{ type: 'user.message', content: contentOf(prompt) }];
}

/** An outcome to work towards. */
export function definedOutcome({ description, rubric, maxIterations }: Outcome): RawEvent[] {
  const graded =
    typeof rubric === 'string' ? { type: 'text', content: rubric } : { type: 'file', file_id: rubric.fileId };
  const bound = maxIterations === undefined ? {} : { max_iterations: maxIterations };
  return [{ type: 'user.define_outcome', description, rubric: graded, ...bound }];
}

/** What became of a call of a custom tool. */
export function customToolResult({ toolUseId, text, isError }: ToolResult): RawEvent {
  const content = [{ type: 'text', text }];
  return { type: 'user.custom_tool_result', custom_tool_use_id: toolUseId, content, is_error: isError };
}

/** What was decided about a call that Anthropic runs, or an MCP server. */
export function toolConfirmation({ toolUseId, isAllowed, reason }: ToolDecision): RawEvent {
  const decision = { type: 'user.tool_confirmation', tool_use_id: toolUseId, result: isAllowed ? 'allow' : 'deny' };
  return isAllowed || reason === undefined ? decision : { ...decision, deny_message: reason };
}

function contentOf(prompt: Prompt): RawEvent[] {
  if (typeof prompt === 'string') return [{ type: 'text', text: prompt }];
  return prompt.map(({ text, media, ...part }, index) => {
    if (text !== undefined) return { type: 'text', text };
    if (media === undefined) {
      const received = Object.keys(part)[0] ?? 'nothing';
      throw new InvalidValueError('input', [{ path: `prompt.${index}`, expected: 'text or media', received }]);
    }
    const [, inlineType, data] = /^data:([^;,]+);base64,(.*)$/s.exec(media.url) ?? [];
    const mediaType = media.contentType ?? inlineType;
    const source =
      data === undefined ? { type: 'url', url: media.url } : { type: 'base64', media_type: mediaType, data };
    return { type: mediaType === 'application/pdf' ? 'document' : 'image', source };
  });
}
