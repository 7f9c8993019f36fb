/** What people may write after -o, --ipam-opt and --driver-opt, and what they read if they mistype it. */
import { expect } from 'chai';
import { InvalidRequest, Unsupported } from '../../../core/errors.ts';
import { editDistance, nearest } from '../../../core/nearest.ts';
import {
  optionRows,
  parseEndpointOptions,
  parseIpamOptions,
  parseNetworkOptions,
} from '../../../plugin/options.ts';

describe('plugin/options', () => {
  it('parses every network option', () => {
    const given = { parent: 'eth0', vlan: '100', mode: 'macvlan', macvlan_mode: 'vepa', mtu: '9000' };
    expect(parseNetworkOptions(given)).to.deep.equal({ ...given, vlan: 100, mtu: 9000 });
    const bridged = { mode: 'bridge', bridge: 'br0', adopt_address: 'true', host_access: 'false' };
    expect(parseNetworkOptions(bridged)).to.deep.equal({
      ...bridged,
      adopt_address: true,
      host_access: false,
    });
    const quiet = { arp: 'responder', responder: 'leased', probe: 'arp' };
    expect(parseNetworkOptions(quiet)).to.deep.equal(quiet);
    expect(parseNetworkOptions({})).to.deep.equal({});
  });

  it('names an unknown option, the likely one, and all there are', () => {
    expect(() => parseNetworkOptions({ parnet: 'eth0' })).to.throw(
      InvalidRequest,
      /^unknown network option "parnet": did you mean "parent"\? known: adopt_address, arp, bridge, enforce, host_access, macvlan_mode, mode, mtu, net_in, net_in_burst, net_in_min, net_in_peak, net_out, net_out_burst, net_out_min, net_out_peak, parent, probe, responder, vlan$/,
    );
    expect(() => parseNetworkOptions({ colour: 'red' })).to.throw(
      /^unknown network option "colour": known: /,
    );
    expect(() => parseIpamOptions({ Pol: 'a' })).to.throw(
      'unknown IPAM option "Pol": did you mean "pool"? known: pool, range, sticky',
    );
    expect(() => parseEndpointOptions({ net_inn: '100' })).to.throw(
      'unknown endpoint option "net_inn": did you mean "net_in"? known: net_in, net_in_burst, net_in_min, net_in_peak, net_out,',
    );
  });

  it('parses every IPAM option', () => {
    const given = { pool: 'prod', range: 'web', sticky: 'true' };
    expect(parseIpamOptions(given)).to.deep.equal({ ...given, sticky: true });
    expect(parseIpamOptions({ sticky: 'false' })).to.deep.equal({ sticky: false });
    expect(() => parseIpamOptions({ sticky: 'yes' })).to.throw('"yes" is not offered, only true, false');
    for (const range of ['', 'a;b', 'a#1', 'a,b', 'a/b', 'x'.repeat(64)]) {
      expect(() => parseIpamOptions({ range }), range).to.throw('is not the name of a range');
    }
  });

  it('takes over what is not ours: keys of the engine and of others', () => {
    const foreign = {
      'com.docker.network.advertise_addr_nmsgs': '3',
      'example.org/x': '1',
      'a.b': { c: null },
    };
    expect(parseNetworkOptions(foreign)).to.deep.equal({});
    expect(parseIpamOptions(foreign)).to.deep.equal({});
    expect(parseEndpointOptions(foreign)).to.deep.equal({});
    expect(() => parseEndpointOptions({ 'lanius.limit': '1' })).to.throw(InvalidRequest, '"lanius.limit"');
  });

  it('takes a key with "lanius." in front, as labels have it, for the same key', () => {
    expect(parseNetworkOptions({ 'lanius.vlan': '7', 'lanius.net_in': '5mbit' })).to.deep.equal({
      vlan: 7,
      net_in: '5mbit',
    });
    expect(parseEndpointOptions({ 'lanius.net_out': '5mbit' })).to.deep.equal({ net_out: '5mbit' });
    expect(() => parseNetworkOptions({ 'lanius.parnet': 'eth0' })).to.throw(
      'unknown network option "lanius.parnet": did you mean "parent"?',
    );
    expect(() => parseEndpointOptions({ net_in: '5mbit', 'lanius.net_in': '6mbit' })).to.throw(
      InvalidRequest,
      'endpoint option net_in is given twice, as net_in and lanius.net_in: leave one out',
    );
  });

  for (const vlan of [
    '0',
    '4095',
    '4096',
    'abc',
    '-1',
    '1.5',
    '',
    ' 7',
    '0x10',
    '007',
    '1e3',
    '99999999999',
  ]) {
    it(`refuses vlan=${JSON.stringify(vlan)} and gives the range`, () => {
      expect(() => parseNetworkOptions({ vlan })).to.throw(
        InvalidRequest,
        'is not a whole number from 1 to 4094',
      );
    });
  }

  for (const mtu of ['67', '65536', '1500.0', 'jumbo']) {
    it(`refuses mtu=${mtu}`, () => {
      expect(() => parseNetworkOptions({ mtu })).to.throw(InvalidRequest, 'from 68 to 65535');
    });
  }

  for (const parent of [
    '',
    'a b',
    'a/b',
    '..',
    '.',
    'sixteen-letters-',
    'eth0:1',
    'a\nb',
    '\0',
    'sixteen-letters-.5',
  ]) {
    it(`refuses parent=${JSON.stringify(parent)}`, () => {
      expect(() => parseNetworkOptions({ parent })).to.throw(InvalidRequest, 'cannot be the name of a link');
    });
  }

  it('takes LINK.VLAN as parent, even if that is longer than a name can be', () => {
    for (const parent of ['eth0.100', 'fifteen-letters.4094', 'vlan.of.a.vlan', 'p.9999']) {
      expect(parseNetworkOptions({ parent })).to.deep.equal({ parent });
    }
  });

  it('says which modes there are', () => {
    expect(() => parseNetworkOptions({ mode: 'veth' })).to.throw(
      Unsupported,
      '"veth" is not offered, only macvlan, bridge, ipvlan',
    );
    expect(() => parseNetworkOptions({ macvlan_mode: 'brige' })).to.throw(
      InvalidRequest,
      'only bridge, private, vepa, passthru',
    );
  });

  it('is not led astray by names of the language, nor by values that are no text', () => {
    for (const key of ['constructor', 'toString', 'hasOwnProperty', '__proto__']) {
      const given = JSON.parse(`{${JSON.stringify(key)}: "1"}`) as Record<string, unknown>;
      expect(() => parseNetworkOptions(given), key).to.throw(InvalidRequest, 'unknown network option');
    }
    expect(() => parseNetworkOptions({ vlan: 7 })).to.throw(InvalidRequest, 'its value must be text');
    expect(() => parseNetworkOptions({ parent: null })).to.throw(InvalidRequest, 'its value must be text');
  });

  it('keeps texts short and printable, whatever was typed', () => {
    const typed = `\u001b[31m${'x'.repeat(5000)}`;
    for (const given of [{ [typed]: '1' }, { mode: typed }, { vlan: typed }]) {
      try {
        parseNetworkOptions(given);
        expect.fail('accepted');
      } catch (error) {
        expect((error as Error).message).to.match(/^[\x20-\x7e]{1,300}$/);
      }
    }
  });

  it('lists every option with its explanation, for the documentation', () => {
    const rows = optionRows();
    expect(rows.map(({ given, key }) => `${given} ${key}`)).to.include.members([
      '-o parent',
      '--ipam-opt pool',
    ]);
    for (const row of rows) expect(row.explanation, row.key).to.match(/\.$/);
  });
});

describe('plugin/nearest', () => {
  it('counts swapped neighbours as one change', () => {
    expect(editDistance('parnet', 'parent')).to.equal(1);
    expect(editDistance('', 'abc')).to.equal(3);
    expect(editDistance('vlan', 'vlan')).to.equal(0);
  });

  it('finds no name where nothing is near', () => {
    expect(nearest('zzzzzz', ['parent', 'vlan'])).to.equal(undefined);
    expect(nearest('VLAN', ['parent', 'vlan'])).to.equal('vlan');
    expect(nearest('x'.repeat(1000), ['parent'])).to.equal(undefined);
    expect(nearest('x', [])).to.equal(undefined);
  });
});
