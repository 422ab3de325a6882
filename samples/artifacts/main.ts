/**
 * An agent with artifacts: named results beside the conversation, kept with the session. Those that the handler returns
 * arrive with the output; those it saves on the way are there at once, and the same name again is the next version.
 */
import assert from 'node:assert/strict';
import { genkit, z } from 'genkit';
import { type Artifact, defineAgent } from 'genkitx-agent';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';

const ai = genkit({});

const coder = defineAgent(
  ai,
  {
    name: 'coder',
    inputSchema: z.string(),
    streamSchema: z.string(),
    outputSchema: z.string(),
    stateSchema: z.object({ generatedCode: z.array(z.string()).default([]) }).default({}),
    store: new MemorySessionStore(),
  },
  async ({ session, inputStream, responder }) => {
    const artifacts: Artifact[] = [];
    for await (const input of inputStream) {
      const code = `export const task = ${JSON.stringify(input)};\n`;
      await responder.send("Here's the code you requested:\n");
      await responder.send(`\`\`\`ts\n${code}\`\`\``);
      await session.updateState(({ generatedCode }) => void generatedCode.push(code));
      await session.saveArtifact({ name: 'latest.ts', parts: [{ text: code }] });
      artifacts.push({ name: `code_${artifacts.length}.ts`, parts: [{ text: code }] });
      await responder.endTurn();
    }
    const versions = session.artifactVersions('latest.ts').length;
    return { output: `code generation complete after ${versions} versions`, artifacts };
  },
);

const connection = coder.streamBidi();
for (const task of ['sort a list', 'reverse a list']) {
  connection.send(task);
  for await (const chunk of connection.receive()) process.stdout.write(chunk);
  process.stdout.write('\n');

  // What was saved on the way does not wait for the end of the run.
  const saved = await coder.sessions.get(connection.sessionId);
  assert.deepEqual(
    saved?.artifacts.map(({ name }) => name),
    ['latest.ts'],
  );
  assert.match(saved?.artifacts[0]?.parts[0]?.text ?? '', new RegExp(task));
}

connection.close();
const { output, state, artifacts = [] } = await connection.output();
assert.equal(output, 'code generation complete after 2 versions');
assert.equal(state.generatedCode.length, 2);
assert.deepEqual(
  artifacts.map(({ name }) => name),
  ['latest.ts', 'code_0.ts', 'code_1.ts'],
);
assert.deepEqual(artifacts[1]?.parts, [{ text: 'export const task = "sort a list";\n' }]);
