/** What a chat and its agent say to each other: an input, and everything up to the end of its answer. */
import type { SendReceipt } from '../../../schemas/index.js';
import type { AgentOutput as OwnOutput } from '../../agent/agent.js';
import type { RunConnection } from '../../connection/run-connection.js';
import { type AgentFlowError, isAgentFlowError, toAgentFlowError } from '../../errors.js';

/** The connection a chat speaks through. */
export type ChatConnection = RunConnection<unknown, unknown, OwnOutput<unknown, unknown>>;

/** Somebody who hears what the agent says. */
export interface AnswerListener {
  /** A chunk, as the agent sent it. */
  said(chunk: unknown): void;
  /** What was said since the last input answers another one, of a run before this. */
  startOver(): void;
}

/** How a run has ended. */
export type RunOutcome = { readonly error: AgentFlowError } | { readonly output: OwnOutput<unknown, unknown> };

/** The talk with one run of an agent; one input at a time. */
export class ChatExchange {
  readonly #connection: ChatConnection;
  #turnsEnded = 0;
  #hasEnded = false;

  constructor(connection: ChatConnection) {
    this.#connection = connection;
    void connection.done.then(() => {
      this.#hasEnded = true;
    });
  }

  /**
   * Sends an input and hands on what is said to it, until the answer is over. Inputs that a process before left behind are
   * answered first. Rejects when the turn fails or the run ends without an answer, with the reason.
   */
  async ask(input: unknown, listener: AnswerListener): Promise<void> {
    let turn: number | undefined;
    const taken = this.#send(input).then((receipt) => {
      turn = receipt.turn;
    });
    taken.catch(() => {});
    for (;;) {
      const failure = await hear(this.#connection.receive(), listener).then(() => undefined, toAgentFlowError);
      this.#turnsEnded += 1;
      const isAnswered = turn === this.#turnsEnded;
      if (isAnswered && failure !== undefined) throw failure;
      if (isAnswered) return;
      if (this.#hasEnded) return taken;
      listener.startOver();
    }
  }

  /** No more inputs: hands on what the handler still says, and tells how the run has ended. */
  async finish(listener: AnswerListener): Promise<RunOutcome> {
    this.#connection.close();
    // Begun before the output is asked for, which drops what nobody reads.
    const rest = hear(this.#connection.receiveAll(), listener).catch(() => {});
    const output = this.#connection.output();
    output.catch(() => {});
    await rest;
    const { error } = await this.#connection.done;
    return error === undefined ? { output: await output } : { error };
  }

  /** Throws what ended the run, if it has ended: that it takes no more inputs is no answer. */
  #send(input: unknown): Promise<SendReceipt> {
    try {
      // One is sent when the one before is answered; what may still run then was left behind by another process.
      return this.#connection.send(input, { policy: 'queue' });
    } catch (error) {
      const isOver = isAgentFlowError(error) && error.code === 'CONNECTION_CLOSED';
      throw isOver ? (error.cause ?? error) : error;
    }
  }
}

async function hear(chunks: AsyncIterable<unknown>, listener: AnswerListener): Promise<void> {
  for await (const chunk of chunks) listener.said(chunk);
}
