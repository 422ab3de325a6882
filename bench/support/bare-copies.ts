/** What a handler's own copying costs, with no agent around it: the same list, the same two messages a turn. */
import { type ChatAgent, message } from './chat.js';
import type { MakeHome } from './stores.js';

/** A list of messages as somebody keeps it. */
interface Keeper {
  add(): void;
}

/** `[...messages, ...]` of a list that is frozen, as one that was read from a session is. */
export const spreadAlone: MakeHome = async () =>
  home(() => {
    let messages = Object.freeze([message('user')]);
    return {
      add() {
        messages = Object.freeze([...messages, message('user'), message('model')]);
      },
    };
  });

/** A frozen copy of a list that grows in place: the least that can be shown of it as it is now. */
export const frozenCopyAlone: MakeHome = async () =>
  home(() => {
    const messages = [message('user')];
    let seen: readonly unknown[] = [];
    return {
      add() {
        messages.push(message('user'), message('model'));
        seen = Object.freeze(messages.slice());
        if (seen.length !== messages.length) throw new Error('Not a copy');
      },
    };
  });

function home(keep: () => Keeper): Awaited<ReturnType<MakeHome>> {
  const agent: ChatAgent = {
    async open() {
      const keeper = keep();
      return { sessionId: '', say: async () => keeper.add(), close: async () => {} };
    },
  };
  return { agent, folder: undefined, empty: async () => {}, settle: async () => {}, close: async () => {} };
}
