import { expect } from 'chai';
import type { KeyRange, KvPort, RangeOptions } from '../../../store/kv.ts';
import { endOfPrefix, pagesOf } from '../../../store/pages.ts';

/** An etcd that only has these keys, and notes the ranges that it was asked for. */
function kvOf(keys: readonly string[], asked: string[] = []): KvPort {
  const range = async (wanted: KeyRange, { limit = 0 }: RangeOptions = {}) => {
    if (!('from' in wanted)) throw new Error('a range');
    asked.push(wanted.to);
    const found = keys.filter((key) => key >= wanted.from && key < wanted.to);
    const kvs = found.slice(0, limit).map((key) => ({ key, value: '', createRevision: 1, modRevision: 1 }));
    return { revision: 1, kvs, count: found.length };
  };
  return { range } as unknown as KvPort;
}
const hex = (value: number): string => value.toString(16).padStart(8, '0');

describe('ipam/store-pages', () => {
  const read = async (keys: readonly string[], asked?: string[]): Promise<string[]> => {
    const sorted = [...keys].sort();
    const found: string[] = [];
    for await (const page of pagesOf(kvOf(sorted, asked), {
      from: 'l/',
      to: 'l0',
      revision: 1,
      pageSize: 10,
    }))
      found.push(...page.map(({ key }) => key));
    expect(found).to.deep.equal(sorted);
    return found;
  };

  it('reads every key once, however they lie', async () => {
    await read([]);
    await read(['l/x']);
    for (const count of [9, 10, 11, 100, 137]) {
      await read(Array.from({ length: count }, (_, i) => `l/a/${hex(i)}`));
      await read(Array.from({ length: count }, (_, i) => `l/a/${hex(i * i * i * 97)}`));
      await read(Array.from({ length: count }, (_, i) => `l/${i % 7}/${hex(4294967295 - i)}`));
      await read(Array.from({ length: count }, (_, i) => `l/a/${hex(i < 50 ? i : 4294967000 + i)}`));
      await read(Array.from({ length: count }, (_, i) => `l/name-${i}`));
    }
  });

  it('does not ask for all the rest with every page of a pool', async () => {
    const asked: string[] = [];
    await read(
      Array.from({ length: 500 }, (_, i) => `l/a/${hex(i)}`),
      asked,
    );
    expect(asked.filter((to) => to === 'l0')).to.have.length.below(3);
    expect(asked).to.have.length.below(80);
  });

  it('knows where a prefix ends', () => {
    expect(endOfPrefix('/a/')).to.equal('/a0');
  });
});
