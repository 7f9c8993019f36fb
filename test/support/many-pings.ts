/**
 * A program: pings many addresses at once from one raw socket until its stdin ends, then prints the counts as JSON.
 * `many-pings.js '[["10.77.16.1",10],…]'`: addresses, each with its interval in ms.
 *
 * Why not one `ping` for each: a raw ICMP socket gets a copy of every answer that reaches its namespace, and busybox'
 * ping has room for about twenty. With ten of them one that is not scheduled for 20 ms loses answers that came.
 * Here there is one socket, with room for seconds. A late timer sends later, never a burst.
 */
import { EchoSocket, socketAddress } from './echo-socket.ts';

export interface Count {
  readonly ip: string;
  readonly sent: number;
  readonly lost: number;
  /** Longest run of lost packets times the interval. */
  readonly longestGapMs: number;
}

/** How long answers may take after the last packet. */
const UNDER_WAY_MS = 1000;

interface Target {
  readonly ip: string;
  readonly intervalMs: number;
  readonly address: Buffer;
  readonly answered: boolean[];
  nextAt: number;
}

function count({ ip, intervalMs, answered }: Target): Count {
  let gap = 0;
  let longest = 0;
  for (const one of answered) {
    gap = one ? 0 : gap + 1;
    longest = Math.max(longest, gap);
  }
  const lost = answered.filter((one) => !one).length;
  return { ip, sent: answered.length, lost, longestGapMs: longest * intervalMs };
}

function main(list: readonly (readonly [string, number])[]): void {
  const socket = new EchoSocket({ identity: process.pid });
  const targets = list.map(
    ([ip, intervalMs]): Target => ({
      ip,
      intervalMs,
      address: socketAddress(ip),
      answered: [],
      nextAt: 0,
    }),
  );

  const send = (target: Target, index: number): void => {
    // one that cannot even be sent, because no neighbour answers for it, is lost
    socket.send(target.address, { first: index, second: target.answered.length });
    target.answered.push(false);
  };
  const receive = (): void => {
    for (let answer = socket.receive(); answer !== undefined; answer = socket.receive()) {
      const target = targets[answer.first];
      if (target !== undefined && answer.second < target.answered.length)
        target.answered[answer.second] = true;
    }
  };
  const turn = (): void => {
    receive();
    const now = performance.now();
    for (const [index, target] of targets.entries()) {
      if (now < target.nextAt) continue;
      send(target, index);
      target.nextAt = Math.max(target.nextAt + target.intervalMs, now + target.intervalMs / 2);
    }
  };

  const timer = setInterval(turn, 2);
  process.stdin.on('end', () => {
    clearInterval(timer);
    const end = performance.now() + UNDER_WAY_MS;
    const finish = (): void => {
      receive();
      if (performance.now() < end && targets.some(({ answered }) => answered.includes(false))) {
        setTimeout(finish, 10);
      } else {
        process.stdout.write(`${JSON.stringify(targets.map(count))}\n`);
      }
    };
    finish();
  });
  process.stdin.resume();
  process.stdout.write('pinging\n');
}

main(JSON.parse(process.argv[2] ?? '[]') as [string, number][]);
