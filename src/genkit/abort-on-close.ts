/** Clients that hang up: Genkit's `expressHandler` listens where Node no longer says so, and goes on working for nobody. */

/** What is needed of a response: Node's own, and Express's. */
export interface ClosableResponse {
  /** Everything has been handed over. */
  readonly writableFinished: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/** What is needed of a request: Node's own, and Express's. */
export interface ClosableRequest {
  emit(event: 'close'): unknown;
}

/** A signal that fires when the client goes away before it has the whole response. For `streamBidi({ abortSignal })` in a route of one's own. */
export function abortSignalOf(response: ClosableResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort('the client closed the connection');
  });
  return controller.signal;
}

/**
 * Express middleware that makes Genkit's `expressHandler` end the run of a client that has gone away:
 *
 * ```ts
 * app.post('/chat', abortOnClose, expressHandler(chat.chatAgent));
 * ```
 *
 * `expressHandler` waits for the request's `close`, which Node sends as soon as the body is read: before anybody listens.
 * This sends it again when the response closes early. A chat that was sent to the background (`detach`) has had its
 * response and goes on.
 */
export function abortOnClose(request: ClosableRequest, response: ClosableResponse, next: () => void): void {
  abortSignalOf(response).addEventListener('abort', () => request.emit('close'));
  next();
}
