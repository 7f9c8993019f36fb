/** What networks and containers have left in etcd when they are gone. */
import { expect } from 'chai';
import type { Lab } from './lab.ts';
import { until } from './poll.ts';

/** All keys but those of hosts themselves. */
export async function leftKeys(lab: Lab): Promise<string[]> {
  const keys = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/');
  return keys.split('\n').filter((key) => key !== '' && !/\/(hosts|sessions|poolset)/.test(key));
}

/** Some of it goes behind the answers. */
export async function untilNothingLeft(lab: Lab): Promise<void> {
  await until('etcd is empty', async () => (await leftKeys(lab)).length === 0).catch(async () =>
    expect(await leftKeys(lab)).to.deep.equal([]),
  );
}
