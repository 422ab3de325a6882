/** Codex's command line and messages. */
import { describe, expect, it } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { checkCodexFlags, codexArguments } from '../../src/backends/codex-cli/argv.js';
import { CodexMessages, type CodexResponseText } from '../../src/backends/codex-cli/messages.js';
import { type CodexCliOptions, codexCliBackend } from '../../src/backends/codex-cli.js';
import { ScriptedCli, until } from '../support/scripted-cli.js';

const nothing = { flags: {}, extra: [], system: undefined, resume: undefined, prompt: 'Hi' };

describe('the command line', () => {
  it('is `exec` with JSON, the prompt last', () => {
    expect(codexArguments(nothing)).toEqual(['exec', '--json', '--', 'Hi']);
    expect(codexArguments({ ...nothing, prompt: undefined })).toEqual(['exec', '--json', '--', '-']);
  });

  const flags = {
    model: 'gpt-5',
    sandbox: 'workspace-write',
    approvalPolicy: 'never',
    addDir: ['/a'],
    skipGitRepoCheck: true,
    config: {
      model_reasoning_effort: 'low',
      'model_providers.mine': { name: 'mine', retries: 0, on: true, list: ['x'] },
    },
    enable: ['one', 'two'],
    disable: ['three'],
    outputSchema: 'schema.json',
    ephemeral: false,
  } as const;
  const settings = [
    ...['-c', 'model_reasoning_effort="low"'],
    ...['-c', 'model_providers.mine={"name" = "mine", "retries" = 0, "on" = true, "list" = ["x"]}'],
  ];
  const shared = [
    ...['--model', 'gpt-5', '--skip-git-repo-check', '--enable', 'one', '--enable', 'two', '--disable', 'three'],
    ...['--output-schema', 'schema.json'],
  ];

  it('has the flags of a first turn', () => {
    expect(codexArguments({ ...nothing, flags, extra: ['--oss'], system: 'Say "yes"' })).toEqual([
      ...['exec', ...settings, '-c', 'approval_policy="never"', '-c', 'developer_instructions="Say \\"yes\\""'],
      ...[...shared, '--sandbox', 'workspace-write', '--add-dir', '/a', '--oss', '--json', '--', 'Hi'],
    ]);
  });

  it('has settings in their place where `resume` knows no such flag', () => {
    expect(codexArguments({ ...nothing, flags, resume: 'thread-1' })).toEqual([
      ...['exec', 'resume', ...settings, '-c', 'sandbox_mode="workspace-write"'],
      ...['-c', 'sandbox_workspace_write.writable_roots=["/a"]', '-c', 'approval_policy="never"'],
      ...[...shared, '--json', '--', 'thread-1', 'Hi'],
    ]);
  });

  it.each([
    [{ sandbox: 'none' }, 'sandbox'],
    [{ approvalPolicy: 'always' }, 'approvalPolicy'],
    [{ systemPrompt: 'S' }, 'systemPrompt'],
  ])('refuses %o', (options, path) => {
    const refused = expect.objectContaining({ code: 'INVALID_VALUE', issues: [expect.objectContaining({ path })] });
    expect(() => checkCodexFlags(options)).toThrow(refused);
    expect(() => codexCliBackend(options as CodexCliOptions)).toThrow(refused);
  });
});

function translated(messages: Record<string, unknown>[], how: CodexResponseText = 'final_message'): BackendEvent[] {
  const reader = new CodexMessages('codex-cli', how, {});
  return messages.flatMap((message) => [...reader.read(message)]);
}

const done = (item: object) => ({ type: 'item.completed', item });
const said = (id: string, text: string) => done({ id, type: 'agent_message', text });

describe('the messages', () => {
  const two = [said('a', 'Let me see.'), said('b', 'It is so.'), { type: 'turn.completed' }];

  it('make the last message the answer', () => {
    expect(translated(two).at(-1)).toMatchObject({ type: 'result', text: 'It is so.' });
  });

  it('make all messages the answer when told to', () => {
    expect(translated(two, 'all_messages').at(-1)).toMatchObject({ text: 'Let me see.\n\nIt is so.' });
  });

  it.each([
    [
      { type: 'command_execution', command: 'ls', aggregated_output: 'a\n', exit_code: 0, status: 'completed' },
      { name: 'command_execution', input: { command: 'ls' } },
      { output: 'a\n', isError: false },
    ],
    [
      { type: 'command_execution', command: 'false', aggregated_output: '', exit_code: 1, status: 'failed' },
      { name: 'command_execution' },
      { output: '', isError: true },
    ],
    [
      {
        type: 'mcp_tool_call',
        server: 's',
        tool: 't',
        arguments: { a: 1 },
        error: { message: 'no' },
        status: 'failed',
      },
      { name: 's.t', input: { a: 1 } },
      { output: { message: 'no' }, isError: true },
    ],
    [
      { type: 'file_change', changes: [{ path: 'a', kind: 'add' }], status: 'completed' },
      { name: 'file_change', input: { changes: [{ path: 'a', kind: 'add' }] } },
      { output: 'completed', isError: false },
    ],
    [{ type: 'web_search', query: 'tea' }, { name: 'web_search', input: { query: 'tea' } }, { isError: false }],
  ])('tell a call when it starts and its result when it is done: %o', (item, use, result) => {
    const started = translated([{ type: 'item.started', item: { ...item, id: 'i' } }, done({ ...item, id: 'i' })]);
    expect(started).toEqual([
      expect.objectContaining({ type: 'tool_use', ...use }),
      expect.objectContaining({ type: 'tool_result', ...result }),
    ]);
    expect(translated([done({ ...item, id: 'i' })]).map(({ type }) => type)).toEqual(['tool_use', 'tool_result']);
  });

  it('give calls ids that are unique in the session, though items are numbered anew in each turn', () => {
    const call = [done({ id: 'item_0', type: 'web_search', query: 'tea' })];
    const [first, second] = [translated(call)[0], translated(call)[0]];
    expect(first).not.toEqual(second);
  });

  it('tell warnings, reasoning, plans and strange shapes as nothing', () => {
    const strange = [
      ...['error', 'reasoning', 'todo_list', 'unheard_of'].map((type) =>
        done({ id: type, type, text: 'x', message: 'x' }),
      ),
      { type: 'item.completed', item: null },
      { type: 'turn.started' },
      { type: 'error', message: 'Reconnecting... 1/5' },
      { type: 'unheard.of' },
    ];
    expect(translated(strange)).toEqual([]);
  });

  it.each([
    ['unexpected status 401 Unauthorized: bad key, url: x', { kind: 'authentication', status: 401, retryable: false }],
    ['exceeded retry limit, last status: 429 Too Many Requests', { kind: 'rate_limit', status: 429, retryable: true }],
    ['stream disconnected before completion: Transport error', { kind: 'network', retryable: true }],
    ['We’re currently experiencing high demand, …', { kind: 'server', retryable: true }],
    ['{"error":{"message":"bad"}}', { kind: 'invalid_request', retryable: false }],
    ['The answer is unexpected status 401 of something', { kind: 'unknown', retryable: false }],
  ])('tell a failure: %s', (message, failure) => {
    const events = translated([{ type: 'turn.failed', error: { message } }]);
    expect(events).toEqual([
      { type: 'error', error: expect.objectContaining({ provider: 'codex-cli', message, ...failure }) },
    ]);
  });

  it('take the reason from the error before where the failure has none', () => {
    const events = translated([
      { type: 'error', message: 'because' },
      { type: 'turn.failed', error: null },
    ]);
    expect(events).toEqual([{ type: 'error', error: expect.objectContaining({ message: 'because' }) }]);
  });
});

describe('a session', () => {
  it.each([
    ['an id of a thread', '5efce45a-1237-4c45-b1d5-88dd9f6e933e'],
    // Codex itself begins a new thread, without a word, and would do there what it was asked.
    ['an id that can be none', 'thread-1'],
  ])('that Codex has lost is told so: %s', async (_, resume) => {
    await using cli = await ScriptedCli.start('codex');
    const { command, commandArguments } = cli;
    const session = await openBackendSession(codexCliBackend({ command, commandArguments }), { resume });
    cli.play({ text: ['elsewhere'], end: 'hang' });
    await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'not_found', retryable: false });
    expect(session).toMatchObject({ sessionId: resume, lastResult: { text: '' } });
    await until(() => cli.working() === 0);
    await session.stop();
  });

  it('counts what each turn uses, though Codex counts the thread', async () => {
    await using cli = await ScriptedCli.start('codex');
    const { command, commandArguments } = cli;
    const backend = codexCliBackend({ command, commandArguments });
    const session = await openBackendSession(backend);
    for (const inputTokens of [10, 30, 5]) {
      cli.play({ text: ['ok'], usage: { inputTokens, outputTokens: 1 } });
      expect((await session.send('Hi')).usage).toEqual({ inputTokens, outputTokens: 1, totalTokens: inputTokens + 1 });
    }
    expect(session.totalUsage).toMatchObject({ inputTokens: 45, outputTokens: 3 });

    const { sessionId } = session;
    const again = await openBackendSession(backend, { resume: sessionId ?? '' });
    const usage = { inputTokens: 7, outputTokens: 2 };
    cli.play({ text: ['ok'], usage });
    expect((await again.send('Hi')).usage).toBeUndefined();
    cli.play({ text: ['ok'], usage });
    expect((await again.send('Hi')).usage).toMatchObject(usage);
    await Promise.all([session.stop(), again.stop()]);
  });
});
