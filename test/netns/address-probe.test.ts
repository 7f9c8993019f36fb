/** `AddressProbe` against the real kernel: a machine at the far end of the parent, and what else is on the wire. */
import { execFileSync, spawn } from 'node:child_process';
import { expect } from 'chai';
import { parseIp } from '../../core/ip.ts';
import { AddressProbe } from '../../net/address-probe.ts';
import { until } from '../support/poll.ts';
import { failure, useKernelLinks } from './kernel-links.ts';

const ADDRESS = parseIp('10.80.0.5');

describe('net/address-probe', () => {
  const bench = useKernelLinks();
  const probe = (timeoutMs = 200) => new AddressProbe({ timeoutMs }, bench.kernel);

  it('is answered by a machine that has the address, at once', async () => {
    bench.namespace.ip('address', 'add', '10.80.0.5/16', 'dev', 'up1');
    await probe().ask('up0', parseIp('10.80.0.9')); // the worker runs
    const began = performance.now();
    const mac = await probe(10_000).ask('up0', ADDRESS);
    expect(mac).to.equal(bench.namespace.link('up1')?.address);
    expect(performance.now() - began).to.be.below(2000);
  });

  it('is answered by nobody in its time, and leaves nothing open', async () => {
    bench.namespace.ip('address', 'add', '10.80.0.6/16', 'dev', 'up1');
    const began = performance.now();
    expect(await probe().ask('up0', ADDRESS)).to.equal(undefined);
    const tookMs = performance.now() - began;
    expect(tookMs).to.be.at.least(195);
    expect(tookMs).to.be.below(2000);
    expect(openSockets(bench.namespace.name)).to.equal(0);
  });

  it('asks as RFC 5227 says, three times, without claiming an address', async () => {
    const capture = await captureArp(bench.namespace.name);
    await probe().ask('up0', ADDRESS);
    const lines = (await capture.lines()).filter((line) => line.includes('10.80.0.5'));
    expect(lines).to.have.length(3);
    for (const line of lines) expect(line).to.include('who-has 10.80.0.5 tell 0.0.0.0');
  });

  it('does not take a tagged frame of a VLAN for an answer', async () => {
    const asked = probe(400).ask('up0', ADDRESS);
    sendArpReply(bench.namespace.name, { tagged: true });
    expect(await asked).to.equal(undefined);
    const again = probe(3000).ask('up0', ADDRESS);
    sendArpReply(bench.namespace.name, { tagged: false });
    expect(await again).to.equal('02:99:00:00:00:01');
  });

  it('hears the answer on a parent that is the port of a bridge', async () => {
    bench.namespace.ip('link', 'add', 'br0', 'type', 'bridge');
    bench.namespace.ip('link', 'set', 'up0', 'master', 'br0');
    bench.namespace.ip('link', 'set', 'br0', 'up');
    bench.namespace.ip('address', 'add', '10.80.0.5/16', 'dev', 'up1');
    expect(await probe(3000).ask('up0', ADDRESS)).to.equal(bench.namespace.link('up1')?.address);
  });

  it('says so if the link is gone or down', async () => {
    expect((await failure(probe().ask('nope', ADDRESS))).message).to.include('"nope" does not exist');
    bench.namespace.ip('link', 'set', 'up0', 'down');
    expect((await failure(probe().ask('up0', ADDRESS))).message).to.include('ENETDOWN');
  });
});

/** Lines of packet(7) sockets in the namespace. */
function openSockets(namespace: string): number {
  const text = execFileSync('ip', ['netns', 'exec', namespace, 'cat', '/proc/net/packet'], {
    encoding: 'utf8',
  });
  return text.trim().split('\n').length - 1;
}

/** Listens at the far end for three seconds. */
async function captureArp(namespace: string): Promise<{ lines(): Promise<string[]> }> {
  const child = spawn('ip', ['netns', 'exec', namespace, 'python3', '-c', LISTEN], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const ended = new Promise((resolve) => child.on('close', resolve));
  await until('the listener', () => text.includes('listening'));
  return {
    lines: async () => {
      await ended;
      return text.split('\n');
    },
  };
}

function sendArpReply(namespace: string, { tagged }: { readonly tagged: boolean }): void {
  execFileSync('ip', ['netns', 'exec', namespace, 'python3', '-c', ANSWER, tagged ? '81000005' : '']);
}

const LISTEN = `
import socket,time
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(0x0806)); s.bind(('up1',0x0806)); s.settimeout(0.1)
print('listening',flush=True)
end=time.time()+3
while time.time()<end:
    try: f=s.recv(100)
    except TimeoutError: continue
    ip=lambda b:'.'.join(map(str,b))
    if f[21]==1: print('who-has',ip(f[38:42]),'tell',ip(f[28:32]))
`;
const ANSWER = `
import socket,sys
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind(('up1',0))
mac=bytes.fromhex('029900000001')
s.send(b'\\xff'*6+mac+bytes.fromhex(sys.argv[1])+bytes.fromhex('08060001080006040002')+mac+bytes([10,80,0,5])+b'\\xff'*6+bytes(4))
`;
