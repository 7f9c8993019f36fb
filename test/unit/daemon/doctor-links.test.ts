/** What doctor says of links that are gone. */
import { expect } from 'chai';
import { Conflict, NotFound } from '../../../core/errors.ts';
import { linkAliasOf } from '../../../core/ids.ts';
import { checkEndpoints, checkUplinks, type LinkWorld } from '../../../daemon/doctor-links.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';

const NETWORK: NetworkRecord = {
  ...{ v: 1, networkId: 'ab'.repeat(32), parent: 'eth0.5', mode: 'macvlan', macvlanMode: 'bridge' },
  ...{ internal: false, subnets: [], createdAt: 0 },
};
const endpoint = (digit: string, sandboxKey?: string): EndpointRecord => ({
  ...{ v: 1, endpointId: digit.repeat(64), networkId: NETWORK.networkId, address: `10.0.0.${digit}/16` },
  ...{ macAddress: '02:4c:0a:00:00:07', linkName: `ln${digit}`, options: {}, createdAt: 0, instance: 'i' },
  ...(sandboxKey === undefined ? {} : { sandboxKey }),
});
const bearing = (alias: string) => ({
  name: 'eth0',
  linkIndex: 2,
  mtuBytes: 1500,
  up: true,
  carrier: true,
  alias,
});

function world(more: Partial<LinkWorld>): LinkWorld {
  return {
    networks: { list: () => [NETWORK] },
    endpoints: { list: () => [] },
    uplinks: { problems: new Map() },
    revival: { problems: new Map() },
    net: { linkListIn: async () => undefined },
    ...more,
  };
}

describe('daemon/doctor-links', () => {
  it('says what a network stands on that cannot be made', () => {
    expect(checkUplinks(world({}))).to.deep.equal([]);
    const problems = new Map([[NETWORK.networkId, new Conflict('the name is taken')]]);
    const [check] = checkUplinks(world({ uplinks: { problems } }));
    expect(check).to.include({
      check: 'network abababababab',
      status: 'fail',
      finding: 'what it stands on (eth0.5) is missing: the name is taken',
    });
  });

  it('finds containers whose link is gone, and says why it is not there again', async () => {
    const endpoints = {
      list: () => [endpoint('1', '/a'), endpoint('2', '/b'), endpoint('3', '/gone'), endpoint('4')],
    };
    const inside = new Map([
      ['/a', [bearing(linkAliasOf('1'.repeat(64)))]],
      ['/b', []],
    ]);
    const net = { linkListIn: async (path: string) => inside.get(path) };
    const problems = new Map([['2'.repeat(64), new NotFound('parent link eth0.5 does not exist')]]);
    const checks = await checkEndpoints(world({ endpoints, net, revival: { problems } }));
    expect(checks).to.deep.equal([
      {
        check: 'endpoint 222222222222',
        status: 'fail',
        finding:
          'the container with 10.0.0.2/16 runs, but its link is gone: its parent was deleted or its driver reloaded; parent link eth0.5 does not exist',
        remedy: 'restart the container (docker restart)',
      },
    ]);
    inside.set('/b', [bearing(linkAliasOf('2'.repeat(64)))]);
    expect(await checkEndpoints(world({ endpoints, net }))).to.deep.equal([
      { check: 'endpoints', status: 'ok', finding: '2 containers have their links' },
    ]);
  });
});
