import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import koffi from 'koffi';
import { KernelError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { SdNotify } from '../../daemon/sd-notify.ts';
import { sendUnixDatagram, sockaddrOf } from '../../daemon/unix-datagram.ts';
import { until } from '../support/poll.ts';

const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const void *, uint)');
const recv = libc.func('long recv(int, _Out_ void *, size_t, int)');
const close = libc.func('int close(int)');

/** What systemd does: a bound datagram socket. */
class Receiver {
  readonly #fd = Number(socket(1, 2, 0));
  readonly messages: string[] = [];

  constructor(address: string) {
    const sockaddr = sockaddrOf(address);
    expect(bind(this.#fd, sockaddr, sockaddr.length)).to.equal(0);
  }

  /** All messages so far. */
  take(): readonly string[] {
    const buffer = Buffer.alloc(4096);
    for (;;) {
      const length = Number(recv(this.#fd, buffer, buffer.length, 0x40));
      if (length < 0) return this.messages;
      this.messages.push(buffer.toString('utf8', 0, length));
    }
  }

  close(): void {
    close(this.#fd);
  }
}

describe('daemon/sd-notify', () => {
  let folder: string;
  let path: string;
  let receivers: Receiver[];
  const receive = (address: string): Receiver => {
    const receiver = new Receiver(address);
    receivers.push(receiver);
    return receiver;
  };
  const notifier = (env: NodeJS.ProcessEnv, logger: Logger = silentLogger): SdNotify =>
    new SdNotify({ env, pid: 7, logger });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-notify-'));
    path = join(folder, 'notify');
    receivers = [];
  });
  afterEach(() => {
    for (const receiver of receivers) receiver.close();
    rmSync(folder, { recursive: true });
  });

  it('says in order that it is ready, what it does, and that it stops', async () => {
    const receiver = receive(path);
    const notify = notifier({ NOTIFY_SOCKET: path });
    notify.ready('serving');
    notify.status('3 networks – fine');
    notify.stopping('draining');
    await notify.close();
    expect(receiver.take()).to.deep.equal([
      'READY=1\nSTATUS=serving',
      'STATUS=3 networks – fine',
      'STOPPING=1\nSTATUS=draining',
    ]);
  });

  it('reaches an abstract socket', async () => {
    const name = `@lanius-test-${process.pid}`;
    const receiver = receive(name);
    const notify = notifier({ NOTIFY_SOCKET: name });
    notify.ready('serving');
    await notify.close();
    expect(receiver.take()).to.have.length(1);
  });

  it('gives signs of life at half of the time that systemd waits, while it is alive', async () => {
    const receiver = receive(path);
    let alive = true;
    const notify = notifier({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '60000', WATCHDOG_PID: '7' });
    expect(notify.watchdogIntervalMs).to.equal(30);
    notify.ready('serving', () => alive);
    await until('three signs of life', () => receiver.take().filter((m) => m === 'WATCHDOG=1').length >= 3);
    alive = false;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const before = receiver.take().length;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(receiver.take().length).to.equal(before);
    await notify.close();
  });

  it('takes no watchdog that was meant for another process', () => {
    expect(notifier({ WATCHDOG_USEC: '60000', WATCHDOG_PID: '8' }).watchdogIntervalMs).to.equal(undefined);
    expect(notifier({ WATCHDOG_USEC: '60000' }).watchdogIntervalMs).to.equal(30);
    expect(notifier({}).watchdogIntervalMs).to.equal(undefined);
  });

  it('leaves nothing of it to children', () => {
    const env: NodeJS.ProcessEnv = {
      NOTIFY_SOCKET: path,
      WATCHDOG_USEC: '1',
      WATCHDOG_PID: '7',
      PATH: '/bin',
    };
    notifier(env);
    expect(env).to.deep.equal({ PATH: '/bin' });
  });

  it('is silent without systemd, and only logs if systemd is gone', async () => {
    const warnings: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      child: () => logger,
      warn: (message) => warnings.push(message),
    };
    const none = notifier({}, logger);
    none.ready('serving');
    await none.close();
    expect(warnings).to.deep.equal([]);
    const gone = notifier({ NOTIFY_SOCKET: path }, logger);
    gone.ready('serving');
    await gone.close();
    expect(warnings).to.deep.equal(['systemd could not be told']);
  });
});

describe('daemon/unix-datagram', () => {
  it('names the errno if nobody is there', () => {
    expect(() => sendUnixDatagram('/nowhere/socket', 'x'))
      .to.throw(KernelError, 'sendto to the socket /nowhere/socket failed: ENOENT')
      .and.to.include({ errno: 2, errnoName: 'ENOENT' });
  });

  it('refuses what is no address of a unix socket', () => {
    for (const address of ['vsock:2:1', '', `/${'x'.repeat(107)}`]) {
      expect(() => sendUnixDatagram(address, 'x')).to.throw('is not a unix socket');
    }
  });

  it('does not wait for a receiver that takes nothing', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lanius-datagram-'));
    const receiver = new Receiver(join(folder, 's'));
    try {
      const flood = (): void => {
        for (let i = 0; i < 10_000; i += 1) sendUnixDatagram(join(folder, 's'), 'x');
      };
      expect(flood).to.throw(KernelError, 'EAGAIN');
    } finally {
      receiver.close();
      rmSync(folder, { recursive: true });
    }
  });
});
