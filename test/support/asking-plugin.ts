/**
 * A program for a lab machine: stands between the engine and the daemon's plugin socket, passes everything on, and inside of
 * each Join asks the container finder first, as the daemon will. One JSON line a Join on stdout.
 *
 * Usage: node asking-plugin.js SOCKET DAEMON_SOCKET ENGINE_SOCKET TIMEOUT_MS
 */
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { systemClock as clock } from '../../core/clock.ts';
import { silentLogger } from '../../core/log.ts';
import { DockerContainerFinder } from '../../engine/docker-container-finder.ts';
import { DockerEngine } from '../../engine/docker-engine.ts';

/** What is printed of each Join. */
export interface Asked {
  readonly ms: number;
  readonly containerId?: string;
  readonly name?: string;
  readonly netAdmin?: boolean;
  readonly netIn?: string;
  readonly netOut?: string;
}

async function main([socketPath = '', daemonPath = '', enginePath = '', timeoutMs = '']: readonly string[]) {
  const logger = silentLogger;
  const engine = new DockerEngine({ socketPath: enginePath, driverName: 'lanius' }, { logger });
  const finder = new DockerContainerFinder({ engine, clock, logger });
  engine.follow({
    onConnected: () => finder.connected(true),
    onDisconnected: () => finder.connected(false),
    onEvent: () => {},
  });

  const ask = async (body: string): Promise<void> => {
    const { NetworkID, EndpointID } = JSON.parse(body) as { NetworkID: string; EndpointID: string };
    const began = performance.now();
    const found = await finder.find(NetworkID, EndpointID, Number(timeoutMs));
    const line: Record<string, unknown> = { ms: Math.round((performance.now() - began) * 10) / 10 };
    if (found !== undefined) {
      line['containerId'] = found.containerId;
      line['name'] = found.name;
      line['netAdmin'] = found.netAdmin;
      line['netIn'] = found.env.get('net_in');
      line['netOut'] = found.labels.get('lanius.net_out');
    }
    console.log(JSON.stringify(line));
  };

  const pass = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of from) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (from.url === '/NetworkDriver.Join') await ask(body.toString());
    const { url, method, headers } = from;
    const call = request({ socketPath: daemonPath, path: url, method, headers, agent: false }, (answer) => {
      to.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(to);
    });
    call.on('error', () => to.destroy());
    call.end(body);
  };

  rmSync(socketPath, { force: true });
  createServer((from, to) => void pass(from, to)).listen(socketPath);
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
