/** How a handler sends its chunks. */
export type Pace = keyof typeof paces;

/** Sends one chunk; resolves when there is room for the next one. */
type Send = () => Promise<void>;

const burst = 100;

const paces = {
  /** Waits for room after every chunk, as handlers should. */
  async awaited(send: Send, chunks: number): Promise<void> {
    for (let sent = 0; sent < chunks; sent++) await send();
  },
  /** A hundred together, as a socket gives them, then a wait for room and a turn of the event loop. */
  async 'in bursts'(send: Send, chunks: number): Promise<void> {
    for (let sent = 0; sent < chunks; sent++) {
      const hasRoom = send();
      if (sent % burst !== burst - 1) continue;
      await hasRoom;
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  /** All of them without a pause; the reader comes after. */
  async 'at once'(send: Send, chunks: number): Promise<void> {
    for (let sent = 0; sent < chunks; sent++) void send();
  },
};

/** Every pace there is. */
export const allPaces = Object.keys(paces) as Pace[];

/** Sends that many chunks at that pace. */
export function sendAt(pace: Pace, send: Send, chunks: number): Promise<void> {
  return paces[pace](send, chunks);
}
