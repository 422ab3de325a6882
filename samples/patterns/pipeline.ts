/** Pipeline: each stage hands its output to the next one and halts; a failure goes down the line too. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, halt, prompt } from 'genkitx-agent/host';

type Handed = { readonly input: string } | { readonly failed: string };

const host = createAgentHost();

const stage = defineBehaviour({
  init: ({ next }: { next: string | undefined }) => ({ state: { next, output: '', failed: '' } }),
  async handleResponse(_ref, { text }, state) {
    if (state.next !== undefined) await host.notify(state.next, { input: text });
    return halt({ ...state, output: text });
  },
  async handleError(_ref, { code }, state) {
    if (state.next !== undefined) await host.notify(state.next, { failed: code });
    return halt({ ...state, failed: code });
  },
  async handleEvent(handed: Handed, state) {
    if ('input' in handed) return prompt(handed.input, state);
    if (state.next !== undefined) await host.notify(state.next, handed);
    return halt({ ...state, failed: handed.failed });
  },
});

/** Runs the whole line, and answers what its last stage holds. */
async function run(line: string, works: readonly (string | undefined)[]): Promise<unknown> {
  const nameOf = (index: number) => `${line} ${index}`;
  const last = nameOf(works.length - 1);
  for (const [index, work] of works.entries()) {
    const turn =
      work === undefined ? { refuses: new TypeError('broken') } : ({ text }: { text: string }) => `${text} → ${work}`;
    const name = nameOf(index);
    const next = name === last ? undefined : nameOf(index + 1);
    await host.start(stage, { name, backend: scriptedBackend({ turns: [turn] }), args: { next } });
  }
  const ended = new Promise<void>((resolve) =>
    host.observe(({ type, agent }) => type === 'halted' && agent === last && resolve()),
  );
  await host.notify(nameOf(0), { input: 'idea' });
  await ended;
  return (await host.status(last)).agentState;
}

assert.deepEqual(await run('good', ['draft', 'review', 'print']), {
  next: undefined,
  output: 'idea → draft → review → print',
  failed: '',
});
assert.deepEqual(await run('bad', ['draft', undefined, 'print']), {
  next: undefined,
  output: '',
  failed: 'BACKEND_FAILED',
});
await host.close();
