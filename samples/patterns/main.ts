/** Twelve ways to let named agents work together, one file each; the pages are in `docs/patterns`. */
const patterns = [
  ...['switchboard', 'research', 'debate', 'pipeline', 'supervisor', 'pool'],
  ...['watcher', 'heartbeat', 'checkpointer', 'retry', 'workspace', 'consensus'],
];

for (const name of patterns) {
  await import(`./${name}.js`);
  console.log(`${name}: as it says`);
}
