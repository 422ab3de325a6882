/** As much of Gemini's wire format as Genkit's plugins read and write: contents, parts, answers and errors. */

/** A piece of content. A call's `args` are an object; its answer comes back with the same name. */
export type GeminiPart =
  | { text: string; thought?: boolean }
  | { functionCall: { name: string; args: Record<string, unknown>; id?: string } }
  | { functionResponse: { name: string; response: unknown; id?: string } }
  | { inlineData: { mimeType: string; data: string } };

/** One turn of the history. Answers to function calls come with the role `function` (or `user`, in newer clients). */
export interface GeminiContent {
  role?: 'user' | 'model' | 'function';
  parts: GeminiPart[];
}

/** The body of `generateContent` and `streamGenerateContent`. */
export interface GeminiBody {
  contents: GeminiContent[];
  systemInstruction?: GeminiContent;
  tools?: { functionDeclarations?: { name: string; description?: string; parameters?: unknown }[] }[];
  generationConfig?: Record<string, unknown>;
}

/** What Google calls the HTTP statuses that a caller has to tell apart. */
const statusNames: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
};

/** An error as Google answers it. A `reply` may return or throw one. */
export class GeminiError extends Error {
  readonly code: number;
  readonly details: readonly unknown[];
  /** Sent as the `retry-after` header. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: number, message: string, options: { details?: unknown[]; retryAfterSeconds?: number } = {}) {
    super(message);
    this.name = 'GeminiError';
    this.code = code;
    this.details = options.details ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  toJSON() {
    const status = statusNames[this.code] ?? 'UNKNOWN';
    const details = this.details.length > 0 ? { details: this.details } : {};
    return { error: { code: this.code, message: this.message, status, ...details } };
  }
}

/** Why an answer ended; `null` is a stream that ends without a word about it. */
export type GeminiFinish = { finishReason: 'STOP' | 'MAX_TOKENS' | 'SAFETY' | null };

/** What a reply may give for one event: a text, a part or several, or in the last place another end than `STOP`. */
export type GeminiPiece = string | GeminiPart | GeminiPart[] | GeminiFinish;

export function isFinish(piece: GeminiPiece): piece is GeminiFinish {
  return typeof piece === 'object' && 'finishReason' in piece;
}

export function toParts(piece: Exclude<GeminiPiece, GeminiFinish>): GeminiPart[] {
  if (typeof piece === 'string') return [{ text: piece }];
  return Array.isArray(piece) ? piece : [piece];
}

/** All text of some contents, in order. */
export function textOf(...contents: readonly (GeminiContent | undefined)[]): string {
  const parts = contents.flatMap((content) => content?.parts ?? []);
  return parts.map((part) => ('text' in part ? part.text : '')).join('');
}

/** One answer, or one event of a streamed one; only the last event of a stream says why it ended. */
export function answer(body: GeminiBody, parts: GeminiPart[], sent: string, finishReason?: string) {
  const prompt = [body.systemInstruction, ...body.contents];
  const promptTokenCount = prompt.reduce((sum, content) => sum + countWords(textOf(content)), 0);
  const candidatesTokenCount = countWords(sent);
  return {
    candidates: [{ content: { role: 'model', parts }, ...(finishReason ? { finishReason } : {}), index: 0 }],
    usageMetadata: {
      promptTokenCount,
      candidatesTokenCount,
      totalTokenCount: promptTokenCount + candidatesTokenCount,
    },
    modelVersion: 'local',
  };
}

/** Words stand for tokens. */
function countWords(text: string): number {
  return text.split(/\s+/).filter(Boolean).length;
}
