/** The shapes of plugin requests: tolerant of what Go sends, strict where names and addresses are made of it. */
import { expect } from 'chai';
import { formatCidr, formatIp } from '../../../core/ip.ts';
import * as ipam from '../../../plugin/wire/ipam.ts';
import * as network from '../../../plugin/wire/network.ts';

const NID = '5f3c9e1b7a24d8604c1d2e3f4a5b6c7d8e9f00112233445566778899aabbccdd';
const EID = '0b4733e63798d1d6d8dadddf863f60ecc331cb84a0fad4759f69b2f8b8df4cc7';

describe('plugin/wire', () => {
  it('takes null wherever Go may send it, and ignores fields it does not know', () => {
    const created = network.createNetworkRequest.parse({
      NetworkID: NID,
      Options: null,
      IPv4Data: [
        { AddressSpace: 'lanius', Pool: '10.0.0.0/16', Gateway: null, AuxAddresses: null, New: [1] },
      ],
      IPv6Data: null,
      Name: 'later engines may say',
    });
    expect(created.Options).to.deep.equal({});
    expect(created.IPv6Data).to.deep.equal([]);
    expect(created.IPv4Data[0]?.AuxAddresses).to.deep.equal({});
    expect(created).not.to.have.property('Name');
    const endpoint = network.createEndpointRequest.parse({
      NetworkID: NID,
      EndpointID: EID,
      Interface: null,
    });
    expect(endpoint.Options).to.deep.equal({});
    expect(ipam.requestAddressRequest.parse({ PoolID: 'p', Address: null, Options: null }).Address).to.equal(
      undefined,
    );
    expect(ipam.requestPoolRequest.parse({ AddressSpace: 'lanius', Pool: '', SubPool: '' }).Pool).to.equal(
      undefined,
    );
  });

  it('gives addresses and subnets as values, host bits cleared', () => {
    const { Pool } = ipam.requestPoolRequest.parse({
      AddressSpace: 'lanius',
      Pool: '10.9.3.7/16',
      V6: false,
    });
    expect(Pool === undefined ? '' : formatCidr(Pool)).to.equal('10.9.0.0/16');
    const { Interface } = network.createEndpointRequest.parse({
      NetworkID: NID,
      EndpointID: EID,
      Interface: { Address: '10.9.3.7/16', AddressIPv6: 'fd00::7/64', MacAddress: '' },
    });
    expect(Interface?.Address === undefined ? '' : formatIp(Interface.Address.address)).to.equal('10.9.3.7');
    expect(Interface?.AddressIPv6?.subnet.prefixLength).to.equal(64);
  });

  for (const id of [
    '',
    '..',
    '../../etc/passwd',
    'a/b',
    NID.toUpperCase(),
    `${NID}0`,
    NID.slice(1),
    7,
    null,
    ['x'],
    {},
  ]) {
    it(`refuses ${JSON.stringify(id)} as the id of an endpoint`, () => {
      expect(network.endpointRequest.safeParse({ NetworkID: NID, EndpointID: id }).success).to.equal(false);
    });
  }

  it('takes network ids of Swarm, but none that is no plain word', () => {
    const good = (NetworkID: string): boolean => network.networkRequest.safeParse({ NetworkID }).success;
    expect(good('6pp9sunkdk2so60gxl55yuvqv')).to.equal(true);
    for (const bad of ['', '.', 'a.b.c.d.e.f.g', '-------------', `${NID}0`, 'a b c d e f g h']) {
      expect(good(bad), bad).to.equal(false);
    }
  });

  for (const address of [
    '10.0.0.7',
    '10.0.0.7/33',
    '010.0.0.1/16',
    '10.0.0/16',
    'x/16',
    '/64',
    7,
    { a: 1 },
  ]) {
    it(`refuses ${JSON.stringify(address)} as the address of an endpoint`, () => {
      const request = { NetworkID: NID, EndpointID: EID, Interface: { Address: address } };
      expect(network.createEndpointRequest.safeParse(request).success).to.equal(false);
    });
  }

  it('refuses a sandbox that is no path', () => {
    for (const SandboxKey of ['', 'netns/x', '/', `/${'x'.repeat(300)}`, '/a\nb']) {
      const request = { NetworkID: NID, EndpointID: EID, SandboxKey };
      expect(network.joinRequest.safeParse(request).success, SandboxKey).to.equal(false);
    }
  });

  it('does not take over prototype keys', () => {
    const text = `{"NetworkID":"${NID}","Options":{"__proto__":{"polluted":true},"constructor":"x"}}`;
    const { Options } = network.createNetworkRequest.parse(JSON.parse(text));
    expect(Reflect.get({}, 'polluted')).to.equal(undefined);
    expect(Object.keys(Options)).to.not.include('__proto__');
  });
});
