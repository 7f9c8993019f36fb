/** Hears the ARP frames on the lab's segment, and tells what they are. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { distFolder, labPrefix } from './checkout.ts';
import { until } from './poll.ts';

export interface ArpFrame {
  /** When it was read, at most some ms after it came; ms since the epoch. */
  readonly atMs: number;
  readonly broadcast: boolean;
  /** 1 = request, 2 = reply. */
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetIp: string;
}

export interface ArpCapture {
  /** Ends the capture; every broadcast since its beginning, in order. */
  stop(): Promise<readonly ArpFrame[]>;
}

/** Begins to listen at the lab's switch; resolves when it hears. */
export async function captureArp(): Promise<ArpCapture> {
  const program = [process.execPath, `${distFolder}/test/support/arp-capture.js`];
  const child = spawn('nsenter', [`--net=/run/netns/${labPrefix()}switch`, ...program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.on('error', () => {}); // it has ended already: stop() tells
  const closed = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await until('the capture has begun', () => output.startsWith('capturing'), { intervalMs: 5 });
  return {
    stop: async () => {
      child.stdin.end();
      await closed;
      return (JSON.parse(output.slice('capturing\n'.length)) as ArpFrame[]).filter(
        ({ broadcast }) => broadcast,
      );
    },
  };
}

/** Ordinary broadcast questions "who has TARGET?" for one of these addresses: no probe, no announcement. */
export function questionsFor(frames: readonly ArpFrame[], ips: Iterable<string>): ArpFrame[] {
  const wanted = new Set(ips);
  return frames.filter(
    (frame) =>
      frame.operation === 1 &&
      wanted.has(frame.targetIp) &&
      frame.senderIp !== frame.targetIp &&
      frame.senderIp !== '0.0.0.0',
  );
}

/** Gratuitous ARP of one of these addresses. */
export function announcementsOf(frames: readonly ArpFrame[], ips: Iterable<string>): ArpFrame[] {
  const wanted = new Set(ips);
  return frames.filter(({ senderIp, targetIp }) => senderIp === targetIp && wanted.has(targetIp));
}
