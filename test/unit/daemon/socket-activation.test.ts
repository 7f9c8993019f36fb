import { expect } from 'chai';
import { takeActivatedSockets } from '../../../daemon/socket-activation.ts';

describe('daemon/socket-activation', () => {
  const take = (count: string, names?: string, pid = '7') =>
    takeActivatedSockets(
      { LISTEN_PID: pid, LISTEN_FDS: count, ...(names === undefined ? {} : { LISTEN_FDNAMES: names }) },
      7,
    );

  it('takes fd 3 as the plugin socket, whatever its name', () => {
    expect(take('1')).to.deep.equal({ plugin: 3 });
    expect(take('1', 'lanius.socket')).to.deep.equal({ plugin: 3 });
  });

  it('finds the socket named admin at any place', () => {
    expect(take('2', 'plugin:admin')).to.deep.equal({ plugin: 3, admin: 4 });
    expect(take('2', 'admin:plugin')).to.deep.equal({ plugin: 4, admin: 3 });
    expect(take('1', 'admin')).to.deep.equal({ admin: 3 });
  });

  it('takes nothing that was meant for another process or is no number', () => {
    expect(take('1', undefined, '8')).to.deep.equal({});
    expect(take('x')).to.deep.equal({});
    expect(takeActivatedSockets({}, 7)).to.deep.equal({});
  });

  it('leaves nothing of it to children', () => {
    const env: NodeJS.ProcessEnv = { LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'x', PATH: '/bin' };
    takeActivatedSockets(env, 7);
    expect(env).to.deep.equal({ PATH: '/bin' });
  });
});
