import { expect } from 'chai';
import { parseCidr, parseIp } from '../../../core/ip.ts';
import {
  checkReservable,
  checkReservationName,
  withoutReservation,
  withReservation,
} from '../../../ipam/people/reservation-rules.ts';
import type { LeaseValue, PoolValue } from '../../../store/schema.ts';

const address = parseIp('10.0.0.7');
const base = { v: 1, host: 'h1', request: 'i.1', bootId: 'b', at: 7 } as const;
const fresh = { ...base, state: 'reserved', role: 'operator', name: 'db' } as const;
const bound: LeaseValue = { ...base, state: 'bound', containerName: 'web' };
const pool: PoolValue = { v: 1, subnet: '10.0.0.0/24', gateway: '10.0.0.1', madeBy: 'h1', at: 7 };
const reserve = (there: LeaseValue | undefined) => withReservation(address, there, fresh);

describe('ipam/reservation-rules', () => {
  it('takes the names that docker takes, up to 128 characters', () => {
    for (const name of ['a', 'web-1', 'A.b_c', '7', 'x'.repeat(128)]) checkReservationName(name);
    for (const name of ['', '-a', '.a', 'a/b', 'a b', 'ü', 'x'.repeat(129), 'a\n']) {
      expect(() => checkReservationName(name), name).to.throw(/is not a name for a reservation/);
    }
  });

  it('refuses addresses that no container can have', () => {
    const check =
      (text: string, subnet = '10.0.0.0/24') =>
      () =>
        checkReservable(parseCidr(subnet), parseIp(text), pool);
    check('10.0.0.7')();
    expect(check('10.0.0.0')).to.throw(/is the network address .* choose one from 10.0.0.1 to 10.0.0.254/);
    expect(check('10.0.0.255')).to.throw(/is the broadcast address/);
    expect(check('10.0.0.1')).to.throw(/is the gateway of pool/);
    check('10.0.0.0', '10.0.0.0/31')();
    expect(check('fd00::', 'fd00::/64')).to.throw(/is the network address/);
    check('fd00::ffff:ffff:ffff:ffff', 'fd00::/64')();
  });

  it('reserves a free address, and one that a container has without touching its holder', () => {
    expect(reserve(undefined)).to.deep.equal(fresh);
    expect(reserve(bound)).to.deep.equal({ ...bound, role: 'operator', name: 'db' });
  });

  it("makes a kept address of the name the operator's, for ever", () => {
    const kept: LeaseValue = { ...base, state: 'reserved', role: 'sticky', name: 'db', keepSeconds: 60 };
    expect(reserve(kept)).to.deep.equal(fresh);
    expect(reserve({ ...kept, state: 'bound' })).to.deep.equal({ ...fresh, state: 'bound' });
  });

  it('changes nothing the second time', () => {
    expect(reserve(fresh)).to.equal(undefined);
    expect(reserve({ ...bound, role: 'operator', name: 'db' })).to.equal(undefined);
  });

  for (const [what, there, message] of [
    ['a gateway', { ...base, state: 'reserved', role: 'gateway' }, /reserved as gateway of a network/],
    ['an aux address', { ...base, state: 'reserved', role: 'aux' }, /auxiliary address of a network/],
    ['another name', { ...fresh, name: 'web' }, /is reserved for "web": .*lanius ip unreserve 10.0.0.7/],
    ['another kept name', { ...fresh, role: 'sticky', name: 'web' }, /kept for the container name "web"/],
    ['stock', { ...base, state: 'warm' }, /host h1 has it in stock/],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => reserve(there)).to.throw(message);
    });
  }

  it('ends a reservation: a free address goes, one in use stays without it', () => {
    expect(withoutReservation(address, undefined)).to.equal(undefined);
    expect(withoutReservation(address, bound)).to.equal(undefined);
    expect(withoutReservation(address, fresh)).to.equal('free');
    expect(
      withoutReservation(address, { ...bound, role: 'sticky', name: 'web', keepSeconds: 9 }),
    ).to.deep.equal(bound);
    expect(() => withoutReservation(address, { ...base, state: 'reserved', role: 'aux' })).to.throw(
      /goes with the last network/,
    );
  });
});
