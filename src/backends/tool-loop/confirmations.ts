/** Calls that the provider runs itself, once somebody has allowed them: who decides is the handler. */
import type { ToolDecision, ToolUse } from '../../providers/provider.js';
import { untilAborted } from '../until-aborted.js';
import { type Confirmation, invalid, type SessionInfo, type Settings } from './options.js';

/**
 * What the handler decides about each call, in the order of the calls; `undefined` where it does not decide. Throws
 * `INVALID_VALUE` for an answer that is none.
 *
 * @param signal ends the waiting
 */
export async function decide(
  calls: readonly ToolUse[],
  settings: Settings,
  info: SessionInfo,
  signal: AbortSignal,
): Promise<readonly (ToolDecision | undefined)[]> {
  return untilAborted(signal, Promise.all(calls.map((use) => decisionOf(use, settings, info, signal))));
}

async function decisionOf(
  { id, name, input }: ToolUse,
  { tools, context }: Settings,
  info: SessionInfo,
  signal: AbortSignal,
): Promise<ToolDecision | undefined> {
  const callInfo = { ...info, callId: id, signal };
  let answer: Confirmation | undefined;
  try {
    answer = await tools.confirmToolCall?.(name, input, context, callInfo);
  } catch (error) {
    // Who cannot decide has not allowed it.
    answer = { deny: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
  if (answer === undefined) return undefined;
  if (answer === 'allow' || answer === 'deny') return { toolUseId: id, isAllowed: answer === 'allow' };
  if (typeof answer?.deny === 'string') return { toolUseId: id, isAllowed: false, reason: answer.deny };
  throw invalid('handler.confirmToolCall', "'allow', 'deny', { deny: why } or nothing", JSON.stringify(answer));
}
