export type { Cursor, SendReceipt } from '../schemas/index.js';
export type {
  Agent,
  AgentConfig,
  AgentHandler,
  AgentInit,
  AgentOutput,
  AgentTypes,
  Artifact,
  ChatChunk,
  ChatMessage,
  FinishReason,
  HandlerArgs,
  HandlerResult,
  InterruptedTurn,
  Responder,
  StreamBidiOptions,
  Turn,
  TurnsOptions,
  Usage,
} from './agent/agent.js';
export type { Connection, RunEnd, SendOptions, SendPolicy, WatchEvent, WatchOptions } from './connection/connection.js';
export {
  AgentFlowError,
  type AnyAgentFlowError,
  type ErrorCode,
  type ErrorStatus,
  InvalidValueError,
  isAgentFlowError,
  LeaseLostError,
  SessionConflictError,
  StoredStateError,
} from './errors.js';
export { abortOnClose, abortSignalOf, type ClosableRequest, type ClosableResponse } from './genkit/abort-on-close.js';
export type { ChatAgent, ChatCustom } from './genkit/chat-agent.js';
export { defineAgent, type GenkitAgent } from './genkit/define-agent.js';
export {
  type FromGenkitStoreOptions,
  fromGenkitStore,
  type GenkitBackedStore,
  type GenkitStoreLimits,
} from './genkit/from-genkit-store.js';
export { type ToGenkitStoreOptions, toGenkitStore } from './genkit/to-genkit-store.js';
export type { Clock } from './internal/clock.js';
export type { BusySessionPolicy } from './session/lease.js';
export type { Session, StateRecipe } from './session/session.js';
export type { ForkOptions, SessionSnapshot, Sessions } from './session/sessions.js';
export type { SessionStore, SessionSummary } from './session/store.js';
