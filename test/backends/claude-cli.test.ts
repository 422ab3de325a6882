/** Claude Code's command line and messages. */
import { describe, expect, it } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { checkClaudeFlags, claudeArguments } from '../../src/backends/claude-cli/argv.js';
import { ClaudeMessages } from '../../src/backends/claude-cli/messages.js';
import { type ClaudeCliOptions, claudeCliBackend } from '../../src/backends/claude-cli.js';
import { ScriptedCli } from '../support/scripted-cli.js';

const nothing = { flags: {}, extra: [], system: undefined, resume: undefined, prompt: 'Hi' };

describe('the command line', () => {
  it('is the print mode with streamed JSON, the prompt last', () => {
    expect(claudeArguments(nothing).join(' ')).toBe(
      '--verbose --print --output-format stream-json --include-partial-messages -- Hi',
    );
  });

  it('resumes by the id', () => {
    expect(claudeArguments({ ...nothing, resume: 'id-1' }).slice(-4)).toEqual(['--resume', 'id-1', '--', 'Hi']);
  });

  it('takes no id that would be a flag', () => {
    const resume = () => claudeCliBackend().resumeSession('--dangerously-skip-permissions');
    expect(resume).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
  });

  it('knows every flag of the options', () => {
    const flags = {
      model: 'opus',
      fallbackModel: 'haiku',
      systemPrompt: 'S',
      appendSystemPrompt: 'A',
      permissionMode: 'acceptEdits',
      dangerouslySkipPermissions: true,
      allowedTools: ['Bash(git *)', 'Edit'],
      disallowedTools: ['Write'],
      tools: [],
      mcpConfig: ['one.json', 'two.json'],
      strictMcpConfig: true,
      addDir: ['/a', '/b'],
      effort: 'high',
      maxTurns: 3,
      maxBudgetUsd: 0.5,
      jsonSchema: { type: 'object' },
      agent: 'reviewer',
      agents: { reviewer: {} },
      settings: 's.json',
      settingSources: ['user', 'project'],
      pluginDir: ['/p'],
      betas: ['b'],
      file: ['file_1:a.txt', 'file_2:b.txt'],
      worktree: 'feature',
      includePartialMessages: false,
      noSessionPersistence: true,
      forkSession: true,
      bare: false,
      safeMode: true,
    } as const;
    const args = claudeArguments({ ...nothing, flags, extra: ['--brief'], system: 'and S' });
    expect(args.slice(4, -2)).toEqual([
      ...['--model', 'opus', '--fallback-model', 'haiku', '--system-prompt', 'S'],
      ...['--append-system-prompt', 'A\n\nand S', '--permission-mode', 'acceptEdits', '--dangerously-skip-permissions'],
      ...['--allowed-tools', 'Bash(git *),Edit', '--disallowed-tools', 'Write', '--tools', ''],
      ...['--mcp-config', 'one.json', '--mcp-config', 'two.json', '--strict-mcp-config'],
      ...['--add-dir', '/a', '--add-dir', '/b', '--effort', 'high', '--max-turns', '3', '--max-budget-usd', '0.5'],
      ...['--json-schema', '{"type":"object"}', '--agent', 'reviewer', '--agents', '{"reviewer":{}}'],
      ...['--settings', 's.json', '--setting-sources', 'user,project', '--plugin-dir', '/p', '--betas', 'b'],
      ...['--file', 'file_1:a.txt', '--file', 'file_2:b.txt', '--worktree', 'feature'],
      ...['--no-session-persistence', '--fork-session', '--safe-mode', '--brief'],
    ]);
    expect(claudeArguments({ ...nothing, flags: { worktree: true } })).toContain('--worktree');
    expect(claudeArguments({ ...nothing, flags: { worktree: true } })).not.toContain('true');
  });

  // AgentWorkshop passed unknown options through in silence.
  it.each([
    [{ permissionMode: 'yolo' }, 'permissionMode', 'default | acceptEdits'],
    [{ modle: 'opus' }, 'modle', 'an option'],
  ])('refuses %o', (options, path, expected) => {
    const refused = expect.objectContaining({
      code: 'INVALID_VALUE',
      issues: [expect.objectContaining({ path, expected: expect.stringContaining(expected) })],
    });
    expect(() => checkClaudeFlags(options)).toThrow(refused);
    expect(() => claudeCliBackend(options as ClaudeCliOptions)).toThrow(refused);
  });
});

function translated(...messages: Record<string, unknown>[]): BackendEvent[] {
  const reader = new ClaudeMessages('claude-cli');
  return messages.flatMap((message) => [...reader.read(message)]);
}

const assistant = (content: unknown[], more: object = {}) => ({
  type: 'assistant',
  message: { id: 'm', content },
  ...more,
});
const delta = (text: string) => ({
  type: 'stream_event',
  event: { type: 'content_block_delta', delta: { type: 'text_delta', text } },
});

describe('the messages', () => {
  it('tell a text once, whether it came in pieces or whole', () => {
    const start = { type: 'stream_event', event: { type: 'message_start', message: { id: 'm' } } };
    const whole = assistant([{ type: 'text', text: 'Hello' }]);
    expect(translated(start, delta('Hel'), delta('lo'), whole)).toEqual([
      { type: 'text', text: 'Hel' },
      { type: 'text', text: 'lo' },
    ]);
    expect(translated(whole)).toEqual([{ type: 'text', text: 'Hello' }]);
  });

  it('tell what a subagent does, and not what it says', () => {
    const use = { type: 'tool_use', id: 't', name: 'Read', input: {} };
    const child = { parent_tool_use_id: 'task' };
    const said = [{ type: 'text', text: 'aside' }, { type: 'thinking', thinking: '…' }, use];
    expect(translated({ ...delta('aside'), ...child }, assistant(said, child))).toEqual([use]);
  });

  it('tell a call and its result once, and the result of a call that failed as such', () => {
    const use = { type: 'tool_use', id: 't', name: 'Read', input: { path: 'a' } };
    const result = { type: 'tool_result', tool_use_id: 't', content: 'no such file', is_error: true };
    const user = { type: 'user', message: { content: [result] } };
    expect(translated(assistant([use]), assistant([use]), user, user)).toEqual([
      use,
      { type: 'tool_result', id: 't', output: 'no such file', isError: true },
    ]);
  });

  it('tell the id once, as soon as it is known', () => {
    const events = translated({ type: 'system', session_id: 's' }, { type: 'system', session_id: 's' });
    expect(events).toEqual([{ type: 'session', sessionId: 's' }]);
  });

  it('tell strange shapes as nothing', () => {
    const strange = [
      { type: 'assistant' },
      { type: 'assistant', message: { content: 'text' } },
      { type: 'user', message: null },
      { type: 'stream_event', event: null },
      { type: 'rate_limit_event', rate_limit_info: {} },
      { type: 7 },
    ];
    expect(translated(...strange)).toEqual([]);
  });

  // AgentWorkshop took `is_error: true` for a success.
  it.each([
    [
      { subtype: 'error_max_turns', is_error: false },
      { kind: 'limit', retryable: false },
    ],
    [
      { subtype: 'error_max_budget_usd', is_error: true },
      { kind: 'limit', retryable: false },
    ],
    [
      { subtype: 'error_during_execution', errors: ['Out of disk'] },
      { kind: 'unknown', message: 'Out of disk' },
    ],
    [
      { subtype: 'success', is_error: true, result: 'API Error', api_error_status: 429 },
      { kind: 'rate_limit', status: 429 },
    ],
    [
      { subtype: 'success', is_error: true, api_error_status: 529 },
      { kind: 'overloaded', retryable: true },
    ],
    [{ is_error: true }, { kind: 'unknown', message: 'Claude Code ended with undefined' }],
  ])('tell an error of any kind as a failure: %o', (result, failure) => {
    const events = translated({ type: 'result', usage: { input_tokens: 3, output_tokens: 1 }, ...result });
    expect(events).toEqual([
      { type: 'usage', usage: { inputTokens: 3, outputTokens: 1, totalTokens: 4 } },
      { type: 'error', error: expect.objectContaining({ provider: 'claude-cli', raw: expect.anything(), ...failure }) },
    ]);
  });

  const started = (usage: object, more: object = {}) => ({
    type: 'stream_event',
    event: { type: 'message_start', message: { id: 'm', usage } },
    ...more,
  });
  const counted = (usage: object) => ({ type: 'stream_event', event: { type: 'message_delta', delta: {}, usage } });
  const used = (events: readonly BackendEvent[]) =>
    events.flatMap((event) => (event.type === 'usage' ? [[event.usage.inputTokens, event.usage.outputTokens]] : []));

  it('tell usage as it is used, and at the end what is left of the turn’s', () => {
    const cached = { input_tokens: 4, cache_read_input_tokens: 6, output_tokens: 1 };
    const events = translated(
      started(cached),
      assistant([{ type: 'text', text: 'a' }], { message: { id: 'm', content: [], usage: cached } }),
      counted({ input_tokens: 4, cache_read_input_tokens: 6, output_tokens: 7 }),
      started({ input_tokens: 20, output_tokens: 1 }),
      counted({ output_tokens: 2 }),
      // What a subagent uses is in the sum, and nowhere else.
      started({ input_tokens: 99 }, { parent_tool_use_id: 'task' }),
      {
        type: 'result',
        subtype: 'success',
        usage: { input_tokens: 30, cache_read_input_tokens: 6, output_tokens: 12 },
      },
    );
    expect(used(events)).toEqual([
      [10, undefined],
      [0, 7],
      [20, undefined],
      [0, 2],
      [6, 3],
    ]);
  });

  it('tell usage once for each message where nothing is streamed', () => {
    const whole = (id: string, input: number) =>
      assistant([{ type: 'text', text: 'a' }], {
        message: { id, content: [], usage: { input_tokens: input, output_tokens: 1 } },
      });
    const end = { type: 'result', subtype: 'success', usage: { input_tokens: 12, output_tokens: 9 } };
    expect(used(translated(whole('m1', 5), whole('m1', 5), whole('m2', 7), end))).toEqual([
      [5, undefined],
      [7, undefined],
      [0, 9],
    ]);
  });

  it('tell what a turn cost that failed', () => {
    const events = translated(started({ input_tokens: 3, output_tokens: 1 }), {
      type: 'result',
      subtype: 'error_max_budget_usd',
      usage: { input_tokens: 3 },
      total_cost_usd: 0.5,
    });
    expect(events.at(-2)).toMatchObject({ type: 'usage', usage: { inputTokens: 0, costUsd: 0.5 } });
    expect(events.at(-1)).toMatchObject({ type: 'error', error: { kind: 'limit' } });
  });

  it('tell an API error by its word where it has no status', () => {
    const word = assistant([{ type: 'text', text: 'API Error' }], { error: 'authentication_failed' });
    const events = translated(word, { type: 'result', subtype: 'success', is_error: true, result: 'API Error' });
    expect(events).toEqual([{ type: 'error', error: expect.objectContaining({ kind: 'authentication' }) }]);
  });
});

describe('a session', () => {
  it('counts what each turn costs, though the CLI counts them together', async () => {
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const session = await openBackendSession(claudeCliBackend({ command, commandArguments }));
    for (const text of ['one', 'two', 'three']) {
      cli.play({ text: [text] });
      expect(await session.send('Hi')).toMatchObject({
        text,
        costUsd: 0.01,
        numTurns: 1,
        sessionId: expect.any(String),
      });
    }
    expect(session.totalCost).toBeCloseTo(0.03);
    expect(session.turnCount).toBe(3);
    expect(cli.asked().map(({ args }) => args.includes('--resume'))).toEqual([false, true, true]);
    await session.stop();
  });

  it('that the CLI has lost is told so, and keeps the id it was asked for', async () => {
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const session = await openBackendSession(claudeCliBackend({ command, commandArguments }), { resume: 'lost' });
    cli.play({ text: ['never'] });
    await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'not_found', retryable: false });
    expect(session.sessionId).toBe('lost');
    await session.stop();
  });

  it('keeps its id when a turn fails', async () => {
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const session = await openBackendSession(claudeCliBackend({ command, commandArguments }));
    cli.play({ text: ['one'] });
    const { sessionId } = await session.send('first');
    cli.play({ end: 'rate_limit' });
    await expect(session.send('second')).rejects.toMatchObject({ kind: 'rate_limit', retryable: true });
    cli.play({ text: ['three'] });
    expect((await session.send('third')).sessionId).toBe(sessionId);
    expect(cli.asked().at(-1)?.args).toContain(sessionId);
    await session.stop();
  });
});
