/**
 * The wire contract: every shape that leaves a process. The JSON Schema files beside this one are generated from it by
 * `npm run schemas`; `README.md` says in prose what each is for.
 */
import { z } from './zod.js';

/**
 * One piece of content, as Genkit writes it: text, media, data, a tool request or its response. Only the members Genkit
 * itself knows are named; further members are kept.
 */
export const PartSchema = z
  .object({
    text: z.string().optional(),
    media: z.object({ url: z.string(), contentType: z.string().optional() }).passthrough().optional(),
    toolRequest: z
      .object({ name: z.string(), ref: z.string().optional(), input: z.unknown() })
      .passthrough()
      .optional(),
    toolResponse: z
      .object({ name: z.string(), ref: z.string().optional(), output: z.unknown() })
      .passthrough()
      .optional(),
    data: z.unknown().optional(),
    reasoning: z.string().optional(),
    custom: z.record(z.unknown()).optional(),
    metadata: z.record(z.unknown()).optional(),
  })
  .passthrough();

/** One piece of content. */
export type Part = z.infer<typeof PartSchema>;

/** A named result of a session: a file, an image, a report. The same name again is its next version. */
export const ArtifactSchema = z.object({
  name: z.string().min(1),
  parts: z.array(PartSchema),
  metadata: z.record(z.unknown()).optional(),
});

/** A named collection of parts produced during a session. */
export type Artifact = z.infer<typeof ArtifactSchema>;

/** Tokens and money one run has used, as far as its model tells. */
export const UsageSchema = z.object({
  inputTokens: z.number().nonnegative().optional(),
  outputTokens: z.number().nonnegative().optional(),
  totalTokens: z.number().nonnegative().optional(),
  costUsd: z.number().nonnegative().optional(),
});

/** Tokens and money one run has used. */
export type Usage = z.infer<typeof UsageSchema>;

/** Why a run ended: the handler returned, the caller aborted, or something threw. */
export const FinishReasonSchema = z.enum(['stop', 'aborted', 'failed']);

/** Why a run ended. */
export type FinishReason = z.infer<typeof FinishReasonSchema>;

/** How a run is opened from outside a process: all members are optional. */
export const AgentInitSchema = z
  .object({
    /** Session to resume, or the id of the new one; without it a new UUID. Any string but the empty one. */
    sessionId: z.string().min(1).optional(),
    /** Continue from this version as a new head. */
    version: z.number().int().positive().optional(),
    /** State of a new session; ignored when the session is known. */
    init: z.unknown().optional(),
  })
  .strict();

/** How a run is opened from outside a process. */
export type AgentInit = z.infer<typeof AgentInitSchema>;

/** What a run returns, with the agent's own output and state in it. */
export function agentOutputSchema<Output extends z.ZodTypeAny, State extends z.ZodTypeAny>(
  output: Output,
  state: State,
) {
  return z.object({
    sessionId: z.string(),
    output,
    state,
    artifacts: z.array(ArtifactSchema).optional(),
    usage: UsageSchema.optional(),
    finishReason: FinishReasonSchema,
  });
}

/** {@link agentOutputSchema} of an agent that says nothing of its output and state. */
export const AgentOutputSchema = agentOutputSchema(z.unknown(), z.unknown());

/** Where a chunk stands: its run, its turn in the run (from 1), its place in the turn (from 0), and which attempt at the turn. */
export const CursorSchema = z.object({
  run: z.string(),
  turn: z.number().int().nonnegative(),
  seq: z.number().int().nonnegative(),
  attempt: z.number().int().positive(),
});

/** Where a chunk stands. A reader that sees a higher attempt of a turn drops what it had of the lower one. */
export type Cursor = z.infer<typeof CursorSchema>;

/** What became of an input that was sent. */
export const SendReceiptSchema = z.object({
  run: z.string(),
  turn: z.number().int().positive(),
  /** The id was sent before: the input is not run again, and this is the turn that took it. */
  duplicate: z.boolean(),
  /** The input was handed to the turn that was running. */
  steered: z.boolean(),
});

/** What became of an input that was sent. */
export type SendReceipt = z.infer<typeof SendReceiptSchema>;

/** An error on the wire: never a stack. */
export const ErrorJsonSchema = z.object({
  status: z.string(),
  code: z.string(),
  message: z.string(),
  details: z.unknown().optional(),
});
