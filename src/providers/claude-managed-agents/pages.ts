/** Everything the pages of a list hold, each thing once: a cursor that leads back would list the same for ever. */
export async function listed<Item extends { readonly id?: unknown }>(pages: AsyncIterable<unknown>): Promise<Item[]> {
  const items: Item[] = [];
  const known = new Set<unknown>();
  for await (const raw of pages) {
    const item = raw as Item;
    if (known.has(item.id)) break;
    if (item.id !== undefined) known.add(item.id);
    items.push(item);
  }
  return items;
}
