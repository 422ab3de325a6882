/** What is typed, on a real host with scripted agents. */
import { describe, expect, it } from 'vitest';
import { halt, noreply, prompt } from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { commands, helpLines } from '../../src/terminal/commands.js';
import { settled } from '../host/harness.js';
import { paid, sitDown } from './harness.js';

/** What stands behind the echo of a line. */
function answerTo(shown: string, line: string): string {
  const from = shown.indexOf(`${line}\n`) + line.length + 1;
  const next = shown.indexOf('\n> ', from - 1);
  return shown.slice(from, next < 0 ? undefined : next + 1);
}

/** A turn that waits to be let go. */
function held(text: string) {
  const gate = new Deferred<void>();
  const turn = [
    { type: 'text', text: `${text} ` },
    gate.promise,
    { type: 'text', text: 'done' },
    { type: 'result' },
  ] as const;
  return { turn, open: () => gate.resolve() };
}

describe('ask', () => {
  it('shows the answer, broken to 80 columns', async () => {
    const { start, script, desk } = sitDown();
    const backend = await start('writer', ['one two three '.repeat(12)]);
    const shown = await script('ask writer  Write  "it"');
    expect(backend.prompts.map(({ text }) => text)).toEqual(['Write  "it"']);
    const lines = answerTo(shown, '> ask writer  Write  "it"').trimEnd().split('\n');
    expect(lines.join(' ')).toBe('one two three '.repeat(12).trim());
    expect(lines.map((line) => line.length)).toEqual([77, 79, 9]);
    expect(desk.hasFailed).toBe(false);
  });

  it('tells what the turn took where somebody sits', async () => {
    const { start, type, shown, left, end } = sitDown({ isTTY: true });
    await start('writer', [paid('A poem.')]);
    type('ask writer go\r');
    await shown.until('A poem.\n(0 ms, 150 tokens, $0.0123)\n');
    end();
    await left;
  });

  it('shows an answer that is only in the result', async () => {
    const { start, script } = sitDown();
    await start('writer', [[{ type: 'result', text: 'whole' }]]);
    expect(answerTo(await script('ask writer go'), '> ask writer go')).toBe('whole\n');
  });

  it('tells how a turn failed, and goes on', async () => {
    const { start, script, desk } = sitDown();
    await start('writer', [{ refuses: new TypeError('no such luck') }, 'better']);
    const shown = await script('ask writer one', 'ask writer two');
    expect(answerTo(shown, '> ask writer one')).toBe('! no such luck (BACKEND_FAILED)\n');
    expect(answerTo(shown, '> ask writer two')).toBe('better\n');
    expect(desk.hasFailed).toBe(true);
  });

  it('lets no answer steer the terminal', async () => {
    const { start, script } = sitDown();
    await start('writer', ['a\x1b]0;title\x07b\u009b2J\u202ec']);
    expect(answerTo(await script('ask writer x'), '> ask writer x')).toBe('abc\n');
  });

  it('does not wait for an agent that is halted', async () => {
    const { start, script, host } = sitDown();
    await start('writer', ['later']);
    await host.halt('writer');
    await settled();
    const shown = await script('ask writer go', 'resume writer', 'ask writer go');
    expect(shown).toContain('! The agent "writer" is halted (AGENT_HALTED); "resume NAME" first, or "tell" it\n');
    expect(shown).toContain('writer goes on\n> ask writer go\nlater\n');
  });

  it('finds agents whose names have spaces, and says which there are', async () => {
    const { start, script } = sitDown();
    await start('good 0', ['yes']);
    await start('b');
    const shown = await script('ask "good 0" hello', 'ask good hello');
    expect(answerTo(shown, '> ask "good 0" hello')).toBe('yes\n');
    expect(answerTo(shown, '> ask good hello')).toBe(
      '! There is no agent "good" (AGENT_NOT_FOUND); there is "good 0", b\n',
    );
  });
});

describe('tell, poll, await', () => {
  it('give a number for a ref, and the answer for the number', async () => {
    const { start, type, shown, end, left } = sitDown();
    const first = held('first');
    await start('writer', [first.turn, 'second']);
    type('tell writer one\npoll 1\ntell writer two\nqueue writer\n');
    await shown.until('#1 told to writer, ref ');
    await shown.until('> poll 1\n#1 writer: not answered yet\n');
    await shown.until('#2 told to writer, ref ');
    await shown.until('now        #1 (tell) for 0 ms\nwaiting    1 prompt, 0 notifications\nfrom here  #1, #2\n');
    type('await 1\n');
    await shown.until('> await 1\n');
    first.open();
    await shown.until('#1 writer:\nfirst done\n');
    type('await\nawait\nhistory writer\n');
    await shown.until('> await\n#2 writer:\nsecond\n');
    await shown.until('> await\nNothing is waiting to be shown.\n');
    await shown.until('#1   0 ms        first done\n#2   0 ms        second\n');
    end();
    await left;
  });

  it('await all: one that fails does not stop the others', async () => {
    const { start, script, desk } = sitDown();
    await start('writer', [{ refuses: new TypeError('broken') }, 'second']);
    const shown = await script('tell writer one', 'tell writer two', 'await', 'poll 1');
    expect(answerTo(shown, '> await')).toBe('! #1 writer: broken (BACKEND_FAILED)\n#2 writer:\nsecond\n');
    expect(answerTo(shown, '> poll 1')).toBe('! broken (BACKEND_FAILED)\n');
    expect(desk.hasFailed).toBe(true);
  });

  it('await gives up on an agent that halts before the turn comes', async () => {
    const { start, type, shown, end, left } = sitDown();
    const first = held('first');
    await start('writer', [first.turn], { handleResponse: (_ref, _response, state) => halt(state) });
    type('tell writer one\ntell writer two\nawait 2\n');
    await shown.until('> await 2\n');
    first.open();
    await shown.until('! The agent "writer" is halted (AGENT_HALTED)');
    type('await 2\nawait 1\n');
    await shown.until('! The agent "writer" is halted (AGENT_HALTED)');
    await shown.until('#1 writer:\nfirst done\n');
    end();
    await left;
  });

  it('say that an answer has come where somebody sits', async () => {
    const { start, type, shown, end, left } = sitDown({ isTTY: true });
    await start('writer', ['A poem.', { refuses: new TypeError('broken') }]);
    type('tell writer go\r');
    await shown.until('#1 writer has answered; "await 1" shows it\n');
    type('tell writer go\r');
    await shown.until('#2 writer has failed: BACKEND_FAILED; "await 2" shows it\n');
    end();
    await left;
    expect(shown.text.match(/has answered|has failed/g)).toHaveLength(2);
  });

  it('cancel takes one back that waits', async () => {
    const { start, script } = sitDown();
    const first = held('first');
    await start('writer', [first.turn]);
    const shown = await script('tell writer one', 'tell writer two', 'cancel 2', 'cancel 1', 'poll 2');
    expect(answerTo(shown, '> cancel 2')).toBe('#2 is taken back\n');
    expect(answerTo(shown, '> cancel 1')).toContain('REQUEST_CURRENT');
    expect(answerTo(shown, '> poll 2')).toContain('REQUEST_CANCELLED');
    first.open();
  });

  it('find what an earlier process told', async () => {
    const store = new MemorySessionStore();
    const earlier = sitDown({}, { store });
    await earlier.start('writer', ['kept']);
    const ref = await earlier.host.tell('writer', 'go');
    await earlier.host.await('writer', ref);
    await earlier.host.close();
    await earlier.script();

    const later = sitDown({}, { store });
    await later.start('writer');
    expect(answerTo(await later.script(`await writer ${ref}`), `> await writer ${ref}`)).toBe(`${ref} writer:\nkept\n`);
  });
});

describe('notify', () => {
  it('hands JSON or text over, and says when it is heard', async () => {
    const heard: unknown[] = [];
    const { start, script, host } = sitDown();
    const first = held('first');
    await start('watcher', [first.turn], {
      handleEvent: (event, state) => {
        heard.push(event);
        return noreply(state);
      },
    });
    await host.notify('watcher', 'before');
    const shown = await script(
      'notify watcher {"failed": "a b"}',
      'tell watcher work',
      'notify watcher main was pushed',
    );
    expect(answerTo(shown, '> notify watcher {"failed": "a b"}')).toBe('watcher has heard it\n');
    expect(answerTo(shown, '> notify watcher main was pushed')).toBe('watcher hears it at the end of its turn\n');
    first.open();
    await settled();
    expect(heard).toEqual(['before', { failed: 'a b' }, 'main was pushed']);
  });
});

describe('steering', () => {
  it('interrupts the turn in flight, or that of a tell', async () => {
    const { start, script } = sitDown();
    const never = held('never');
    await start('writer', [never.turn, never.turn]);
    await start('critic');
    const shown = await script(
      ...['tell writer one', 'tell writer two', 'interrupt writer 2', 'interrupt critic 1', 'interrupt writer 1'],
      ...['await 1', 'interrupt critic', 'interrupt writer'],
    );
    expect(answerTo(shown, '> interrupt writer 2')).toContain('(REQUEST_NOT_CURRENT)');
    expect(answerTo(shown, '> interrupt critic 1')).toContain('1 was told to writer');
    expect(answerTo(shown, '> interrupt writer 1')).toBe('writer is interrupted\n');
    expect(answerTo(shown, '> interrupt critic')).toContain('critic has no turn in flight\n');
    expect(answerTo(shown, '> interrupt writer\n'.trimEnd())).toContain('writer is interrupted\n');
  });

  it('halts, resumes, resets, drains and stops', async () => {
    const { start, script } = sitDown();
    const backend = await start('writer', ['yes']);
    await start('critic');
    const shown = await script(
      ...['halt writer', 'status', 'resume writer', 'ask writer on?', 'reset writer', 'drain writer', 'stop critic'],
      ...['list', 'status'],
    );
    expect(answerTo(shown, '> status')).toMatch(/^NAME.*\nwriter +halted/);
    expect(shown).toContain('> resume writer\nwriter goes on\n> ask writer on?\nyes\n');
    expect(shown).toContain(
      'writer has a fresh session\n> drain writer\nwriter has ended\n> stop critic\ncritic has ended\n',
    );
    expect(answerTo(shown, '> list')).toBe('There is no agent any more.\n');
    expect(backend.started).toHaveLength(2);
  });
});

describe('looking', () => {
  it('shows status, cost, history, the last answer and the graph', async () => {
    const { start, script } = sitDown({}, { budget: { maxCostUsd: 1 } });
    await start('writer', [paid('A poem.\nOf two lines.')]);
    const shown = await script(
      ...['ask writer go', 'list', 'status', 'status writer', 'cost', 'history writer', 'last writer', 'graph'],
    );
    expect(answerTo(shown, '> list')).toBe('writer\n');
    expect(answerTo(shown, '> status')).toBe(
      'NAME    STATE  QUEUE  TURNS     COST  NOW\nwriter  idle       0      1  $0.0123\n',
    );
    expect(answerTo(shown, '> status writer')).toContain('cost     $0.0123, 150 tokens since the start\n');
    expect(answerTo(shown, '> status writer')).toContain('session  session-1\nknows    { heard: [] }\n');
    expect(answerTo(shown, '> cost')).toBe(
      'NAME    TURNS  TOKENS     COST      LEFT\nwriter      1     150  $0.0123  no limit\n' +
        'all               150  $0.0123   $0.9877\n',
    );
    expect(answerTo(shown, '> history writer')).toMatch(/\n[\da-f]{8} +0 ms +\$0\.0123 +A poem\. Of two lines\.\n$/);
    expect(answerTo(shown, '> last writer')).toBe('A poem.\nOf two lines.\n');
    expect(answerTo(shown, '> graph')).toContain('(outside)  →  writer  ask      1\n');
  });

  it('watch: events and speech, of all or of one, until it is off', async () => {
    const { start, script } = sitDown();
    await start('writer', [paid('A poem.\nOf two lines.'), 'unseen', 'seen']);
    await start('critic', ['unheard']);
    const shown = await script(
      ...['watch', 'ask writer go', 'watch off', 'ask writer go', 'watch writer', 'ask critic go', 'ask writer go'],
    );
    const all = answerTo(shown, '> ask writer go');
    expect(all).toMatch(/^15:04:05 {2}writer {6}turn\.start {7}[\da-f]{8}, ask\n/);
    expect(all).toContain('\nwriter | A poem.\nwriter | Of two lines.\n15:04:05  writer      prompt.stop ');
    expect(all).toContain(', 0 ms, 120 + 30 tokens, $0.0123\n');
    const later = shown.slice(shown.indexOf('No longer watching.'));
    expect(answerTo(later, '> ask writer go')).toBe('unseen\n');
    expect(answerTo(later, '> ask critic go')).toBe('unheard\n');
    expect(later.slice(later.indexOf('ask critic'))).toContain('writer | seen\n');
  });

  it('watch: what one agent prompts another, under the numbers of tells', async () => {
    const { start, type, shown, end, left, host } = sitDown();
    await start('writer', ['draft', 'again'], {
      handleResponse: (_ref, { text }, state) => (text === 'draft' ? prompt('more', state) : noreply(state)),
    });
    type('watch writer\n');
    await shown.until('Watching writer');
    type('tell writer go\n');
    await shown.until(', "go"\n');
    await shown.until('writer | draft\n');
    await shown.until('prompt.stop      #1, 0 ms\n');
    await shown.until(', self_chain\n');
    await shown.until('writer | again\n');
    await host.stop('writer');
    await shown.until('writer      terminated       stopped\n');
    end();
    await left;
  });
});

describe('a line', () => {
  it('is passed over when it is empty or a remark, and may begin with a slash', async () => {
    const { start, script, desk } = sitDown();
    await start('writer');
    expect(await script('', '   ', '# a remark', '/list')).toBe('>\n>\n> # a remark\n> /list\nwriter\n');
    expect(desk.hasFailed).toBe(false);
  });

  it.each([
    ['foo bar', '! There is no command "foo"; "help" lists them, "use NAME" lets text ask an\nagent\n'],
    ['/foo', '! There is no command "foo"; "help" lists them\n'],
    ['constructor', '! There is no command "constructor"; "help" lists them, "use NAME" lets text ask\nan agent\n'],
    ['ask', '! usage: ask NAME TEXT\n'],
    ['ask writer', '! usage: ask NAME TEXT\n'],
    ['tell writer', '! usage: tell NAME TEXT\n'],
    ['notify writer', '! usage: notify NAME EVENT\n'],
    ['queue', '! usage: queue NAME\n'],
    ['halt', '! usage: halt NAME\n'],
    ['poll', '! usage: poll NUMBER\n'],
    ['poll 7', '! Nothing was told here under "7"; usage: poll NUMBER\n'],
    ['await 7', '! Nothing was told here under "7"; usage: await [NUMBER]\n'],
    ['status nobody', '! There is no agent "nobody" (AGENT_NOT_FOUND); there is writer\n'],
    ['watch nobody', '! There is no agent "nobody" (AGENT_NOT_FOUND); there is writer\n'],
    ['use nobody', '! There is no agent "nobody" (AGENT_NOT_FOUND); there is writer\n'],
    ['help foo', '! There is no command "foo"; "help" lists them\n'],
  ])('that cannot be done is answered, and the next one is read: %s', async (line, answer) => {
    const { start, script, desk } = sitDown();
    await start('writer');
    const shown = await script(line, 'list');
    expect(shown).toBe(`> ${line}\n${answer}> list\nwriter\n`);
    expect(desk.hasFailed).toBe(true);
  });

  it('without a command asks the agent that was chosen', async () => {
    const { start, script } = sitDown();
    const backend = await start('writer', ['one', 'two']);
    const shown = await script('use writer', 'Tell me: what is it?', 'history', 'use', 'what?');
    expect(backend.prompts.map(({ text }) => text)).toEqual(['Tell me: what is it?']);
    expect(shown).toContain('Plain text asks writer.\nwriter> Tell me: what is it?\none\nwriter> history\nREF');
    expect(shown).toContain('Nobody is chosen.\n> what?\n! There is no command');
  });

  it('ends the session: quit', async () => {
    const { start, script } = sitDown();
    await start('writer');
    expect(await script('quit', 'list')).toBe('> quit\n');
  });
});

describe('help', () => {
  it('lists every command on 80 columns, a line each', () => {
    const lines = helpLines(80);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    for (const [name, { usage }] of Object.entries(commands)) {
      expect(usage === name || usage.startsWith(`${name} `)).toBe(true);
      expect(lines.filter((line) => line.startsWith(`${usage} `))).toHaveLength(1);
    }
    expect(lines).toHaveLength(Object.keys(commands).length + 2);
  });

  it('explains one', async () => {
    const { script } = sitDown();
    expect(answerTo(await script('help await'), '> help await')).toBe(
      'await [NUMBER]\n  wait for the answer to a tell; to all of them\n' +
        '  "await NAME REF" waits for what was told elsewhere, or in an earlier process.\n',
    );
  });
});
