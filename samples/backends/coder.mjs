#!/usr/bin/env node
// Stands in for Claude Code: the same command line, the same lines on standard output. It can write one file, remember what
// it was told (in CODER_MEMORY), and get lost in thought together with a child of its own.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const args = process.argv.slice(2);
const prompt = args[args.indexOf('--') + 1];
const session_id = args.includes('--resume') ? args[args.indexOf('--resume') + 1] : randomUUID();
const memory = join(process.env.CODER_MEMORY, `${session_id}.json`);
const told = [...(existsSync(memory) ? JSON.parse(readFileSync(memory, 'utf8')) : []), prompt];
const say = (line) => process.stdout.write(`${JSON.stringify({ session_id, ...line })}\n`);
const assistant = (id, ...content) => say({ type: 'assistant', message: { id, content } });

say({ type: 'system', subtype: 'init' });
if (prompt.includes('for ever')) {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
  assistant('msg_1', { type: 'text', text: `${process.pid} ${child.pid}` });
} else {
  if (prompt.startsWith('Write')) {
    const input = { file_path: 'hello.txt', content: 'Hello from the coder\n' };
    assistant('msg_1', { type: 'tool_use', id: 'toolu_1', name: 'Write', input });
    writeFileSync(input.file_path, input.content);
    say({ type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'written' }] } });
  }
  const result = told.length === 1 ? `I have heard "${prompt}".` : `Before "${prompt}" I have heard "${told[0]}".`;
  assistant('msg_2', { type: 'text', text: result });
  writeFileSync(memory, JSON.stringify(told));
  const usage = { input_tokens: 12, output_tokens: 8 };
  say({ type: 'result', subtype: 'success', is_error: false, result, usage, num_turns: 1, total_cost_usd: 0.01 });
}
