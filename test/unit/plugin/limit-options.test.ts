/** Limits that networks and endpoints say themselves: refused before anything is made, kept as they were written. */
import { expect } from 'chai';
import { InvalidRequest } from '../../../core/errors.ts';
import { LIMIT_KEYS } from '../../../core/limit-text.ts';
import { checkEnforcement, LIMIT_OPTIONS, limitTexts } from '../../../plugin/limit-options.ts';
import { parseEndpointOptions, parseNetworkOptions } from '../../../plugin/options.ts';
import { EID, NID, playedDriver } from '../../support/played-driver.ts';

const HOW = 'write 500 (kbit/s), 100mbit, 1.5gbit or none';

describe('plugin/limit-options', () => {
  it('has an option for each key of the grammar', () => {
    expect(Object.keys(LIMIT_OPTIONS).sort()).to.deep.equal([...LIMIT_KEYS].sort());
  });

  it('keeps what was written, without blanks around it', () => {
    const given = { net_in: ' 10mbit ', net_in_burst: '64kb', net_out: 'none', vlan: '5' };
    expect(limitTexts(parseNetworkOptions(given), '-o', undefined)).to.deep.equal({
      net_in: '10mbit',
      net_in_burst: '64kb',
      net_out: 'none',
    });
    expect(limitTexts(parseEndpointOptions({ net_in: '' }), '--driver-opt', undefined)).to.deep.equal({
      net_in: '',
    });
    expect(limitTexts({}, '-o', undefined)).to.deep.equal({});
  });

  const bad: readonly (readonly [string, string])[] = [
    ['10mbps', `rate "10mbps" may mean bits or bytes a second: ${HOW}`],
    ['-5', `rate "-5" is no number with a unit: ${HOW}`],
    ['1e9', `rate "1e9" is no number with a unit: ${HOW}`],
    ['abc', `rate "abc" is no number with a unit: ${HOW}`],
    ['5'.repeat(10_000), `rate "${'5'.repeat(37)}..." is no number with a unit: ${HOW}`],
    ['1mbit1kbit', `rate "1mbit1kbit" is no number with a unit: ${HOW}`],
  ];
  for (const [text, message] of bad) {
    it(`refuses ${text.slice(0, 12)} as network option and as endpoint option, by key`, () => {
      const network = () => limitTexts(parseNetworkOptions({ net_out: text }), '-o', undefined);
      expect(network).to.throw(InvalidRequest, `-o net_out: ${message}`);
      const endpoint = () => limitTexts(parseEndpointOptions({ net_in: text }), '--driver-opt', undefined);
      expect(endpoint).to.throw(InvalidRequest, `--driver-opt net_in: ${message}`);
    });
  }

  it('refuses a share for sure where the host does not enforce', () => {
    const given = { net_in: '10mbit', net_in_min: '5mbit' };
    expect(() => limitTexts(given, '-o', 'sandbox')).to.throw(
      InvalidRequest,
      '-o net_in_min: a share for sure exists only on networks with -o enforce=host: leave it out, or use such a network',
    );
    expect(limitTexts(given, '-o', 'host')).to.deep.equal(given);
  });

  it('lets the host enforce only where all traffic passes the parent', () => {
    const check = (
      mode: 'macvlan' | 'bridge' | 'ipvlan',
      macvlanMode: 'bridge' | 'private' | 'vepa' | 'passthru',
    ) => checkEnforcement({ enforce: 'host', mode, macvlanMode });
    check('macvlan', 'private');
    check('macvlan', 'vepa');
    checkEnforcement({ enforce: 'sandbox', mode: 'bridge', macvlanMode: 'bridge' });
    checkEnforcement({ mode: 'bridge', macvlanMode: 'bridge' });
    expect(() => check('macvlan', 'bridge')).to.throw(
      InvalidRequest,
      '-o enforce=host needs mode=macvlan with macvlan_mode=private or vepa: in macvlan_mode=bridge containers of one host reach each other past the parent, where the limits would stand: add -o macvlan_mode=private, or leave out enforce=host',
    );
    expect(() => check('macvlan', 'passthru')).to.throw(InvalidRequest, 'needs mode=macvlan with');
    expect(() => check('bridge', 'private')).to.throw(InvalidRequest, 'by the MACs of their macvlan links');
    expect(() => check('ipvlan', 'vepa')).to.throw(InvalidRequest, 'by the MACs of their macvlan links');
  });

  it('writes them into the records of networks and endpoints, or makes nothing at all', async () => {
    const { networks, endpoints, createNetwork, createEndpoint } = playedDriver();
    const refused = async (work: Promise<unknown>): Promise<string> =>
      await work.then(
        () => 'accepted',
        (error: Error) => error.message,
      );
    expect(await refused(createNetwork(5000, { net_in: '10mbps' }))).to.match(
      /^-o net_in: rate "10mbps" may/,
    );
    expect(await refused(createNetwork(5000, { enforce: 'host' }))).to.match(/^-o enforce=host needs/);
    expect(networks.list()).to.deep.equal([]);
    const options = { enforce: 'host', macvlan_mode: 'vepa', net_in: '10mbit', net_in_min: '1mbit' };
    await createNetwork(5000, options);
    expect(networks.get(NID)).to.deep.include({
      enforce: 'host',
      limits: { net_in: '10mbit', net_in_min: '1mbit' },
    });
    await createNetwork(5000, options);
    expect(await refused(createNetwork(5000, { ...options, net_in: '11mbit' }))).to.match(/known already/);

    const bad = createEndpoint(5000, '', '10.0.0.7/16', { net_out: '-5' });
    expect(await refused(bad)).to.match(/^--driver-opt net_out: rate "-5" is no number/);
    expect(endpoints.list()).to.deep.equal([]);
    const given = { net_out: '5mbit', 'lanius.net_out_min': '1mbit', 'com.docker.network.portmap': [] };
    await createEndpoint(5000, '', '10.0.0.7/16', given);
    expect(endpoints.get(EID)?.options).to.deep.equal({ net_out: '5mbit', net_out_min: '1mbit' });
  });

  it('answers the same CreateEndpoint again after the container was found', async () => {
    const { endpoints, createNetwork, createEndpoint } = playedDriver();
    await createNetwork();
    const answer = await createEndpoint();
    const record = endpoints.get(EID);
    if (record === undefined) throw new Error('no record');
    const container = { containerId: 'c', name: 'web', netAdmin: false, env: {}, labels: {} };
    await endpoints.put(EID, { ...record, container });
    expect(await createEndpoint()).to.deep.equal(answer);
    expect(endpoints.get(EID)?.container).to.deep.equal(container);
  });
});
