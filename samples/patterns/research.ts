/** Research: one agent that goes through its phases by itself: list the questions, answer each, sum up, halt. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, type Decision, defineBehaviour, halt, prompt } from 'genkitx-agent/host';

interface Research {
  readonly phase: 'listing' | 'answering' | 'summing up' | 'done' | 'failed';
  readonly questions: readonly string[];
  readonly answers: readonly string[];
  readonly report: string;
}

const begin: Research = { phase: 'listing', questions: [], answers: [], report: '' };

function next(state: Research): Decision<Research> {
  const question = state.questions[state.answers.length];
  if (question !== undefined) return prompt(question, { ...state, phase: 'answering' });
  return prompt(`Sum up: ${state.answers.join('; ')}`, { ...state, phase: 'summing up' });
}

const researcher = defineBehaviour({
  init: () => ({ state: begin }),
  handleResponse(_ref, { text }, state) {
    if (state.phase === 'listing') return next({ ...state, questions: text.split('\n') });
    if (state.phase === 'answering') return next({ ...state, answers: [...state.answers, text] });
    return halt({ ...state, phase: 'done', report: text });
  },
  handleError: (_ref, _error, state) => halt({ ...state, phase: 'failed' }),
});

const backend = scriptedBackend({ turns: ['Why?\nHow?', 'because', 'like this', ({ text }) => `${text}.`] });
const host = createAgentHost();
await host.start(researcher, { name: 'researcher', backend });

const halted = new Promise<void>((resolve) => host.observe(({ type }) => type === 'halted' && resolve()));
await host.tell('researcher', 'What is to be known about agents?');
await halted;

const { agentState } = await host.status('researcher');
assert.deepEqual(agentState, {
  phase: 'done',
  questions: ['Why?', 'How?'],
  answers: ['because', 'like this'],
  report: 'Sum up: because; like this.',
});
await host.close();
