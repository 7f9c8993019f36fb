/** What `store/records.ts` promises, with a real file system: order, crashes in mid-write, a full disk, damage. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { InternalError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { RecordStore } from '../../store/records.ts';
import { need } from '../support/require.ts';

const schema = z.object({ v: z.literal(1), n: z.number(), pad: z.string().optional() });
type Item = z.infer<typeof schema>;
const item = (n: number): Item => ({ v: 1, n });

describe('store/records', () => {
  let stateDir: string;
  let reported: string[];
  const logger: Logger = {
    ...silentLogger,
    error: (_, fields) => reported.push(`${String(fields?.['file'])}: ${String(fields?.['reason'])}`),
  };

  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'lanius-records-'));
    reported = [];
  });
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  const loaded = async (): Promise<RecordStore<Item>> => {
    const store = new RecordStore<Item>(
      { stateDir, kind: 'items', schema, survives: 'power cut' },
      { logger },
    );
    await store.load();
    return store;
  };
  const file = (name: string) => join(stateDir, 'items', name);

  it('has after a restart what was put, under any id', async () => {
    const store = await loaded();
    const ids = ['a'.repeat(64), 'lanius/10.77.0.0/16#2', 'fd00::/64 %2F', '..', 'zürich'];
    await Promise.all(ids.map((id, n) => store.put(id, item(n))));
    await store.put('..', item(42));
    const again = await loaded();
    expect(ids.map((id) => again.get(id)?.n)).to.deep.equal([0, 1, 2, 42, 4]);
    expect(again.list()).to.have.length(5);
    expect(again.get('other')).to.equal(undefined);
    expect(readdirSync(join(stateDir, 'items'))).to.include('lanius%2F10.77.0.0%2F16%232.json');
    expect(statSync(join(stateDir, 'items')).mode & 0o777).to.equal(0o700);
    expect(reported).to.deep.equal([]);
  });

  it('deletes idempotently and for good', async () => {
    const store = await loaded();
    await store.put('a', item(1));
    expect(await Promise.all([store.delete('a'), store.delete('a')])).to.deep.equal([true, false]);
    expect(await store.delete('never')).to.equal(false);
    expect(store.get('a')).to.equal(undefined);
    expect((await loaded()).list()).to.deep.equal([]);
  });

  it('keeps the order of the calls for one id, and shows each at once', async () => {
    const store = await loaded();
    const work: Promise<unknown>[] = [];
    for (let n = 0; n < 50; n += 1) {
      work.push(n % 10 === 5 ? store.delete('a') : store.put('a', item(n)));
      work.push(store.put(`b${n}`, item(n)));
      expect(store.get('a')?.n).to.equal(n % 10 === 5 ? undefined : n);
    }
    await Promise.all(work);
    expect((await loaded()).get('a')?.n).to.equal(49);
    expect((await loaded()).list()).to.have.length(51);
  });

  it('moves what it cannot decode aside, reports it, and goes on', async () => {
    const store = await loaded();
    await store.put('good', item(1));
    writeFileSync(file('half.json'), '{"v":1,"n":');
    writeFileSync(file('empty.json'), '');
    writeFileSync(file('future.json'), '{"v":2,"n":1}');
    writeFileSync(file('bad%zz.json'), '{"v":1,"n":1}');
    mkdirSync(file('folder.json'));
    writeFileSync(file('left.json.tmp'), '{"v":1');
    const again = new RecordStore<Item>(
      { stateDir, kind: 'items', schema, survives: 'power cut' },
      { logger },
    );
    const { damaged } = await again.load();
    expect(again.list()).to.deep.equal([item(1)]);
    expect(damaged).to.have.length(5);
    expect(reported).to.have.length(5);
    expect(readFileSync(file('half.json.damaged'), 'utf8')).to.equal('{"v":1,"n":');
    expect(existsSync(file('left.json.tmp')), 'was never acknowledged').to.equal(false);
    await again.put('half', item(2));
    expect((await loaded()).list()).to.have.length(2);
    expect(reported, 'reported once').to.have.length(5);
  });

  it('refuses what is a bug: a record that does not fit, an id that cannot be a name, use before load', async () => {
    const store = await loaded();
    const wrong: Promise<unknown>[] = [
      store.put('a', { v: 2, n: 1 } as unknown as Item),
      store.put('', item(1)),
      store.put('x'.repeat(300), item(1)),
      new RecordStore<Item>({ stateDir, kind: 'items', schema, survives: 'power cut' }, { logger }).put(
        'a',
        item(1),
      ),
    ];
    for (const result of await Promise.allSettled(wrong)) {
      expect(result).to.have.property('reason').that.is.instanceOf(InternalError);
    }
    expect(store.list()).to.deep.equal([]);
  });

  for (const survives of ['power cut', 'kill'] as const) {
    it(`loses no acknowledged record and damages none when it is killed in mid-write (survives: ${survives})`, async function () {
      this.timeout(60_000);
      for (let round = 0; round < 8; round += 1) {
        const acknowledged = await writeUntilKilled(60 + round * 20, survives);
        const store = await loaded();
        for (const [id, n] of acknowledged) expect(store.get(id)?.n, id).to.be.at.least(n);
        expect(acknowledged.size).to.be.above(0);
      }
      expect(reported).to.deep.equal([]);
    });
  }

  it('keeps the old record and says so when the disk is full, and works once there is space', function () {
    need(this, 'root');
    const result = spawnSync(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        `mount -t tmpfs -o size=64k lanius-test "$1" && exec "$2" --input-type=module -e "$3"`,
        'sh',
      ].concat([stateDir, process.execPath, script(FULL_DISK)]),
      { encoding: 'utf8', env: { ...process.env, STATE: stateDir } },
    );
    expect(result.stderr).to.equal('');
    const said = JSON.parse(result.stdout) as Record<string, unknown>;
    expect(said['error']).to.match(
      /^record items\/a cannot be changed in .*\(ENOSPC.*\): free space on that file system$/,
    );
    expect(said).to.deep.include({
      code: 'kernel',
      errnoName: 'ENOSPC',
      shown: 1,
      onDisk: 1,
      after: 3,
      rest: [],
    });
  });

  /** A child that puts five records again and again and prints what was acknowledged. */
  async function writeUntilKilled(afterMs: number, survives: string): Promise<Map<string, number>> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script(WRITE_FOR_EVER)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, STATE: stateDir, SURVIVES: survives },
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      if (text === '') setTimeout(() => child.kill('SIGKILL'), afterMs);
      text += chunk;
    });
    await once(child, 'close');
    const acknowledged = new Map<string, number>();
    for (const line of text.split('\n').slice(0, -1)) {
      const [id = '', n = ''] = line.split(' ');
      if (id !== 'ready') acknowledged.set(id, Number(n));
    }
    return acknowledged;
  }
});

function script(body: string): string {
  const module = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
  const zod = JSON.stringify(import.meta.resolve('zod'));
  return `
    import { readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
    import { z } from ${zod};
    import { RecordStore } from ${module('store/records.js')};
    import { silentLogger } from ${module('core/log.js')};
    const stateDir = process.env.STATE;
    const schema = z.object({ v: z.literal(1), n: z.number(), pad: z.string().optional() });
    const make = async () => {
      const store = new RecordStore({ stateDir, kind: 'items', schema, survives: process.env.SURVIVES ?? 'power cut' }, { logger: silentLogger });
      await store.load();
      return store;
    };
    const store = await make();
    ${body}
  `;
}

const WRITE_FOR_EVER = `
  writeSync(1, 'ready 0\\n');
  const pad = 'x'.repeat(20000);
  const run = async (id) => {
    for (let n = (store.get(id)?.n ?? 0) + 1; ; n += 1) {
      await store.put(id, { v: 1, n, pad });
      writeSync(1, id + ' ' + n + '\\n');
    }
  };
  await Promise.all(['a', 'b', 'c/d', 'e', 'f'].map(run));
`;

const FULL_DISK = `
  await store.put('a', { v: 1, n: 1 });
  writeFileSync(stateDir + '/ballast', 'x'.repeat(40000));
  let error;
  try { await store.put('a', { v: 1, n: 2, pad: 'x'.repeat(60000) }); } catch (thrown) { error = thrown; }
  const shown = store.get('a').n;
  const onDisk = (await make()).get('a').n;
  const rest = readdirSync(stateDir + '/items').filter((name) => name.endsWith('.tmp'));
  rmSync(stateDir + '/ballast');
  await store.put('a', { v: 1, n: 3 });
  const after = (await make()).get('a').n;
  const { code, errnoName } = error ?? {};
  console.log(JSON.stringify({ error: error?.message, code, errnoName, shown, onDisk, after, rest }));
`;
