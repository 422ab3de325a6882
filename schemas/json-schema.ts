/** The JSON Schema files as their sources have them today; a test compares them with what is checked in. */
import { zodToJsonSchema } from 'zod-to-json-schema';
import {
  AgentInitSchema,
  AgentOutputSchema,
  ArtifactSchema,
  CursorSchema,
  ErrorJsonSchema,
  PartSchema,
  SendReceiptSchema,
  UsageSchema,
} from './index.js';

const sources = {
  'agent-init': AgentInitSchema,
  'agent-output': AgentOutputSchema,
  artifact: ArtifactSchema,
  cursor: CursorSchema,
  error: ErrorJsonSchema,
  part: PartSchema,
  'send-receipt': SendReceiptSchema,
  usage: UsageSchema,
};

/** File name → file text, for every shape of the wire contract. */
export function jsonSchemas(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(sources).map(([name, schema]) => [
      `${name}.json`,
      `${JSON.stringify({ title: name, ...zodToJsonSchema(schema, { $refStrategy: 'none' }) }, null, 2)}\n`,
    ]),
  );
}
