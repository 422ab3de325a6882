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
export type {
  Backend,
  BackendEvent,
  BackendFailure,
  BackendSessionOptions,
  BackendTurn,
  Message,
  Prompt,
  Response,
  ResultEvent,
} from './backends/backend.js';
export { BackendError, type BackendErrorCode } from './backends/backend-error.js';
export { BackendSession, type OpenBackendSessionOptions, openBackendSession } from './backends/backend-session.js';
export { type FailureContext, type FailureKind, failure, failureOf, kindOfStatus } from './backends/failure.js';
export { promptText } from './backends/prompt-text.js';
export { type PromptOutcome, type RunPromptOptions, runPrompt } from './backends/run-prompt.js';
export type { TelemetryOptions } from './backends/telemetry.js';
export { addUsage, toUsage, UsageMeter } from './backends/usage.js';
export type { Attachment, AttachOptions } from './connection/attachment.js';
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
export {
  type BackendHandler,
  type BackendHandlerArgs,
  type BackendHandlerOptions,
  type BackendInput,
  BackendInputSchema,
  type BackendState,
  BackendStateSchema,
  backendHandler,
} from './genkit/backend-handler.js';
export type { ChatAgent, ChatCustom } from './genkit/chat-agent.js';
export { defineAgent, type GenkitAgent } from './genkit/define-agent.js';
export {
  type FromGenkitStoreOptions,
  fromGenkitStore,
  type GenkitBackedStore,
  type GenkitStoreLimits,
} from './genkit/from-genkit-store.js';
export { type GenkitBackendOptions, type GenkitBackendSession, genkitBackend } from './genkit/genkit-backend.js';
export {
  type GenkitAnswer,
  type GenkitProviderEvent,
  type GenkitProviderOptions,
  type GenkitProviderSession,
  genkitProvider,
  type ToolDefinition,
} from './genkit/genkit-provider.js';
export { type ToGenkitStoreOptions, toGenkitStore } from './genkit/to-genkit-store.js';
export { type AgentBackendOptions, type AgentBackendSession, agentBackend } from './host/agent-backend.js';
export type { Clock } from './internal/clock.js';
export type { PatchOperation } from './internal/patch.js';
export type {
  EventPeek,
  OpenOptions,
  Outcome,
  OutcomeGrade,
  Provider,
  ProviderTurn,
  RequestResponseProvider,
  StreamingProvider,
  TerminalState,
  ToolDecision,
  ToolResult,
  ToolUse,
} from './providers/provider.js';
export type { BusySessionPolicy } from './session/lease.js';
export type { Session, StateRecipe } from './session/session.js';
export type { ForkOptions, SessionSnapshot, Sessions } from './session/sessions.js';
export type {
  AbortListener,
  AcceptedInput,
  FeedEntries,
  FeedPage,
  RunFeed,
  SessionChange,
  SessionLease,
  SessionParent,
  SessionSave,
  SessionStore,
  SessionSummary,
  StoredSession,
} from './session/store.js';
