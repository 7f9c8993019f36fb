/** The plugin protocol over a unix socket: what every request gets, however broken it is. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { z } from 'zod';
import * as errors from '../../../core/errors.ts';
import type { PluginMethod } from '../../../plugin/methods.ts';
import { type LogLine, PluginSocket, recordingLogger } from '../../support/plugin-client.ts';

const shape = z.object({ NetworkID: z.string(), Options: z.record(z.string(), z.unknown()).nullish() });
const failing = (thrown: unknown): PluginMethod => ({
  emptyBody: true,
  handle: () => Promise.reject(thrown),
});

const thrown: readonly (readonly [unknown, number, string])[] = [
  [new errors.InvalidRequest('no'), 400, 'invalid'],
  [new errors.Unsupported('no'), 400, 'unsupported'],
  [new errors.NotFound('no'), 400, 'not_found'],
  [new errors.Conflict('no'), 409, 'conflict'],
  [new errors.PoolExhausted('no'), 409, 'exhausted'],
  [new errors.KernelError('no', { errno: 16, errnoName: 'EBUSY' }), 500, 'kernel'],
  [new errors.StoreUnavailable('no'), 503, 'store'],
  [new errors.DeadlineExceeded('no'), 504, 'deadline'],
  [new Error('no'), 500, 'internal'],
  ['no', 500, 'internal'],
];

describe('plugin/server', () => {
  const lines: LogLine[] = [];
  const opened: PluginSocket[] = [];
  let release: () => void = () => {};

  const methods = new Map<string, PluginMethod>([
    ['Plugin.Activate', { emptyBody: true, handle: async () => ({ Implements: [] }) }],
    ['NetworkDriver.Leave', { emptyBody: false, handle: async (given) => shape.parse(given) }],
    [
      'NetworkDriver.Join',
      { emptyBody: false, handle: () => new Promise((resolve) => (release = () => resolve({}))) },
    ],
    ...thrown.map(([error], i): [string, PluginMethod] => [`Test.Fail${i}`, failing(error)]),
  ]);

  const open = async (handlerTimeoutMs = 5000): Promise<PluginSocket> => {
    const socket = await PluginSocket.open(methods, { logger: recordingLogger(lines), handlerTimeoutMs });
    opened.push(socket);
    return socket;
  };
  const callLines = (): LogLine[] => lines.filter(({ message }) => message === 'plugin call');

  beforeEach(() => lines.splice(0));
  afterEach(async () => {
    release();
    await Promise.all(opened.splice(0).map((socket) => socket.close()));
  });

  it('answers a call with its object and the content type of plugins', async () => {
    const socket = await open();
    const answer = await socket.call('NetworkDriver.Leave', { NetworkID: 'n1', Options: null });
    expect(answer.status).to.equal(200);
    expect(answer.text).to.equal('{"NetworkID":"n1","Options":null}');
    expect(answer.headers['content-type']).to.equal('application/vnd.docker.plugins.v1.1+json');
    expect(answer.headers).to.not.have.any.keys('x-powered-by', 'etag');
  });

  it('needs no Host, as engine 20.10 sends none', async () => {
    const socket = await open();
    expect((await socket.call('NetworkDriver.Leave', { NetworkID: 'n1' }, { host: '' })).status).to.equal(
      200,
    );
  });

  it('takes an empty body only where the engine sends none', async () => {
    const socket = await open();
    expect((await socket.call('Plugin.Activate')).status).to.equal(200);
    const answer = await socket.call('NetworkDriver.Leave');
    expect(answer.status).to.equal(400);
    expect(answer.body.Err).to.match(
      /^Leave: the request has an empty body \(the engine retried a call whose connection broke\): nothing was done, start the container again \(invalid, req [0-9a-f]{6}\)$/,
    );
    expect(answer.body.Error).to.equal(answer.body.Err);
  });

  for (const [i, [error, status, code]] of thrown.entries()) {
    it(`answers ${code} (${error instanceof Error ? error.name : typeof error}) with ${status}`, async () => {
      const answer = await (await open()).call(`Test.Fail${i}`);
      expect(answer.status).to.equal(status);
      expect(answer.body.Err).to.match(new RegExp(`^no \\(${code}, req [0-9a-f]{6}\\)$`));
      expect(answer.body.Error).to.equal(answer.body.Err);
    });
  }

  it('says 404 for a method that there is not, also for odd paths', async () => {
    const socket = await open();
    for (const path of [
      'NetworkDriver.Fly',
      '',
      '%',
      '%00',
      '..',
      'a/b',
      '__proto__',
      'constructor',
      `x${'y'.repeat(3000)}`,
    ]) {
      const answer = await socket.call(path, '{}');
      expect(answer.status, path).to.equal(404);
      expect(answer.body.Err, path).to.match(/^the plugin has no method .*\(not_found, req [0-9a-f]{6}\)$/);
    }
    expect((await socket.call('NetworkDriver.Leave?x=1', { NetworkID: 'n' })).status).to.equal(200);
  });

  it('never says 404 on a method that there is', async () => {
    const socket = await open();
    for (const verb of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      expect((await socket.call('NetworkDriver.Leave', '{}', { verb })).status, verb).to.equal(400);
    }
  });

  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  const bad: readonly (readonly [string, string])[] = [
    ['half an object', '{"NetworkID":'],
    ['no JSON', 'hello'],
    ['binary', '\u0000\u0001\ufffd'],
    ['an array', '[]'],
    ['null', 'null'],
    ['a number', '7'],
    ['a string', '"x"'],
    ['only spaces', '   \n'],
    ['a missing field', '{}'],
    ['a field of another type', '{"NetworkID":7}'],
    ['an array as options', '{"NetworkID":"n","Options":[1]}'],
    ['text as options', '{"NetworkID":"n","Options":"x"}'],
    ['a prototype as body', '{"__proto__":{"NetworkID":"n"}}'],
    ['arrays 100,000 deep', nested(100_000)],
    ['1 MB', JSON.stringify({ NetworkID: 'x'.repeat(1024 * 1024) })],
  ];
  for (const [what, body] of bad) {
    it(`refuses ${what} with one line, and lives`, async () => {
      const socket = await open();
      const answer = await socket.call('NetworkDriver.Leave', body);
      expect(answer.status).to.equal(400);
      expect(answer.body.Err).to.match(/^[^\n]{10,400} \(invalid, req [0-9a-f]{6}\)$/);
      expect((await socket.call('NetworkDriver.Leave', { NetworkID: 'n' })).status).to.equal(200);
    });
  }

  it('bears options nested 50,000 deep', async () => {
    const socket = await open();
    const body = `{"NetworkID":"n","Options":{"x":${nested(50_000)}}}`;
    const answer = await socket.call('NetworkDriver.Leave', body);
    expect([200, 500]).to.include(answer.status);
    expect(answer.text).to.match(/^\{/);
    expect((await socket.call('Plugin.Activate')).status).to.equal(200);
  });

  it('names the field that does not fit', async () => {
    const answer = await (await open()).call('NetworkDriver.Leave', { NetworkID: 7 });
    expect(answer.body.Err).to.match(/^Leave: NetworkID: .*expected string.* \(invalid, req/);
  });

  it('lives through connections that break within a request', async () => {
    const socket = await open();
    for (const part of [
      'POST /Netw',
      'POST /NetworkDriver.Leave HTTP/1.1\r\nHost: \r\nContent-Length: 100\r\n\r\n{"Net',
    ]) {
      const connection = connect(socket.path);
      await once(connection, 'connect');
      connection.write(part);
      await sleep(20);
      connection.destroy();
    }
    await sleep(20);
    expect((await socket.call('Plugin.Activate')).status).to.equal(200);
    expect(socket.plugin.inFlight()).to.equal(0);
    expect(lines.filter(({ level }) => level === 'error')).to.deep.equal([]);
  });

  it('writes one line a call, with its ids, and the payload only at debug', async () => {
    const socket = await open();
    await socket.call('NetworkDriver.Leave', { NetworkID: 'n1', EndpointID: 'e1', Options: { secret: 's' } });
    await sleep(0);
    expect(callLines()).to.have.length(1);
    const { level, fields } = callLines()[0] ?? { level: '', fields: {} };
    expect(level).to.equal('info');
    expect(fields).to.include({
      method: 'NetworkDriver.Leave',
      networkId: 'n1',
      endpointId: 'e1',
      outcome: 'ok',
    });
    expect(fields.requestId).to.match(/^[0-9a-f]{6}$/);
    expect(fields.durationMs).to.be.a('number');
    expect(
      lines.filter((line) => JSON.stringify(line).includes('secret')).map((line) => line.level),
    ).to.deep.equal(['debug']);
  });

  it('raises the level only where an operator must act', async () => {
    const socket = await open();
    for (const i of thrown.keys()) await socket.call(`Test.Fail${i}`);
    const levels = callLines().map(({ level, fields }) => `${String(fields.code)} ${level}`);
    expect(levels).to.deep.equal([
      'invalid info',
      'unsupported info',
      'not_found info',
      'conflict warn',
      'exhausted warn',
      'kernel error',
      'store error',
      'deadline error',
      'internal error',
      'internal error',
    ]);
  });

  it('answers within the limit, and says how the handler ended after it', async () => {
    const socket = await open(50);
    const answer = await socket.call('NetworkDriver.Join', { NetworkID: 'n1' });
    expect(answer.status).to.equal(504);
    expect(answer.body.Err).to.match(/^Join took longer than its limit \(deadline, req [0-9a-f]{6}\)$/);
    expect(socket.plugin.inFlight()).to.equal(1);
    release();
    await sleep(10);
    expect(socket.plugin.inFlight()).to.equal(0);
    const late = lines.find(({ message }) => message === 'plugin call ended after its deadline');
    expect(late?.level).to.equal('warn');
    expect(late?.fields).to.include({ method: 'NetworkDriver.Join', networkId: 'n1', outcome: 'ok' });
  });

  it('answers within the limit also when the body never comes', async () => {
    const socket = await open(50);
    const connection = connect(socket.path);
    connection.write('POST /NetworkDriver.Leave HTTP/1.1\r\nHost: \r\nContent-Length: 100\r\n\r\n{');
    const [chunk] = (await once(connection, 'data')) as [Buffer];
    expect(chunk.toString()).to.match(/^HTTP\/1.1 504 /);
    connection.destroy();
  });

  it('says in the log that nobody waited for the answer', async () => {
    const socket = await open();
    const connection = connect(socket.path);
    connection.write('POST /NetworkDriver.Join HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n{}');
    while (socket.plugin.inFlight() === 0) await sleep(1);
    connection.destroy();
    await sleep(20);
    release();
    await sleep(10);
    expect(callLines().map(({ fields }) => fields.outcome)).to.deep.equal(['unanswered']);
  });

  it('drains: waits for the handlers at work and closes connections with their replies', async () => {
    const socket = await open();
    const joining = socket.call('NetworkDriver.Join', { NetworkID: 'n1' });
    while (socket.plugin.inFlight() === 0) await sleep(1);
    expect(await socket.plugin.drain(20)).to.equal(false);
    const drained = socket.plugin.drain(5000);
    release();
    expect((await joining).headers.connection).to.equal('close');
    expect(await drained).to.equal(true);
    expect(await socket.plugin.drain(0)).to.equal(true);
  });

  it('keeps idle connections for ever', async () => {
    const socket = await open();
    const { keepAliveTimeout, requestTimeout, headersTimeout, timeout } = socket.server;
    expect({ keepAliveTimeout, requestTimeout, headersTimeout, timeout }).to.deep.equal({
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
      timeout: 0,
    });
    expect((await socket.call('Plugin.Activate')).headers.connection).to.equal('keep-alive');
  });
});
