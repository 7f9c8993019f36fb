import { mkdtemp, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../core/log.ts';
import { DockerEngine } from '../../engine/docker-engine.ts';
import { until } from '../support/poll.ts';
import { EngineSocket } from './engine-socket.ts';

describe('engine/follow-engine', () => {
  let folder: string;
  let socket: EngineSocket;
  let engine: DockerEngine;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lanius-engine-'));
    socket = new EngineSocket(join(folder, 'docker.sock'));
    await socket.open();
    engine = new DockerEngine({ socketPath: socket.path, driverName: 'lanius' }, { logger: silentLogger });
    seen = [];
    streams = [];
    socket.routes['/events'] = (response) => {
      response.writeHead(200).flushHeaders();
      streams.push(response);
    };
    socket.routes['/_ping'] = (response) => {
      response.end('OK');
    };
  });
  afterEach(async () => {
    following?.close();
    await socket.cut();
    await rm(folder, { recursive: true });
  });

  let seen: string[];
  let streams: ServerResponse[];
  let following: { close(): void } | undefined;

  const follow = (): void => {
    following = engine.follow({
      onConnected: () => seen.push('connected'),
      onDisconnected: () => seen.push('disconnected'),
      onEvent: ({ type, action, id }) => seen.push(`${type} ${action} ${id}`),
    });
  };
  const event = (id: string): string =>
    `${JSON.stringify({ Type: 'network', Action: 'connect', Actor: { ID: id, Attributes: {} } })}\n`;

  it('delivers events, says when the stream is cut, and connects again by itself', async () => {
    follow();
    await until('connected', () => seen.length === 1);
    const line = event('n1');
    streams[0]?.write(line.slice(0, 10));
    streams[0]?.write(`${line.slice(10)}${event('n2')}`);
    await until('two events', () => seen.length === 3);
    await socket.cut();
    await until('disconnected', () => seen.length === 4);
    await socket.open();
    await until('connected again', () => seen.length === 5);
    streams[1]?.write(event('n3'));
    await until('an event', () => seen.length === 6);
    const { filters } = Object.fromEntries(new URLSearchParams(socket.queries[0]));
    expect(JSON.parse(filters ?? '')).to.have.keys('type', 'event');
    expect(seen).to.deep.equal([
      'connected',
      'network connect n1',
      'network connect n2',
      'disconnected',
      'connected',
      'network connect n3',
    ]);
  });

  it('connects once the socket appears', async () => {
    await socket.cut();
    follow();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(seen).to.deep.equal([]);
    await socket.open();
    await until('connected', () => seen.length === 1);
  });

  it('is not connected while the engine opens the stream but answers nothing else', async () => {
    let answerPing = (): void => {};
    socket.routes['/_ping'] = (response) => {
      answerPing = () => response.end('OK');
    };
    follow();
    await until('the ping is asked', () => socket.asked.includes('/_ping'));
    streams[0]?.write(event('early'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(seen).to.deep.equal([]);
    answerPing();
    await until('connected, then the early event', () => seen.length === 2);
    expect(seen).to.deep.equal(['connected', 'network connect early']);
  });

  it('is silent after close and lets its connection go', async () => {
    follow();
    await until('connected', () => seen.length === 1);
    const [stream] = streams;
    following?.close();
    await until('the connection is gone', () => stream?.closed === true || stream?.destroyed === true);
    expect(seen).to.deep.equal(['connected']);
  });

  it('goes on after an event that cannot be read and a listener that throws', async () => {
    following = engine.follow({
      onConnected: () => seen.push('connected'),
      onDisconnected: () => seen.push('disconnected'),
      onEvent: ({ id }) => {
        seen.push(id);
        throw new Error('listener');
      },
    });
    await until('connected', () => seen.length === 1);
    streams[0]?.write(`nonsense\n${event('a')}${event('b')}`);
    await until('both events', () => seen.length === 3);
    expect(seen).to.deep.equal(['connected', 'a', 'b']);
  });
});
