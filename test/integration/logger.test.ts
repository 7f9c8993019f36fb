import { closeSync, fstatSync, openSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { NotFound } from '../../core/errors.ts';
import type { JournalEvent } from '../../daemon/journal.ts';
import { goesToJournal, JsonLogger, type LoggerOptions } from '../../daemon/logger.ts';

describe('daemon/logger', () => {
  const log = async (work: (logger: JsonLogger) => void, options: Partial<LoggerOptions> = {}) => {
    const stream = new PassThrough();
    const logger = JsonLogger.to(stream, { level: 'info', priorities: false, ...options });
    work(logger);
    await logger.close();
    return String(stream.read() ?? '')
      .split('\n')
      .filter((line) => line !== '');
  };

  it('writes one JSON line per event: time, level, msg, then the fields', async () => {
    const [line = ''] = await log((logger) =>
      logger.info('an address was leased', { address: '10.0.0.7', vlanId: 7 }),
    );
    expect(line).to.match(
      /^\{"time":"\d{4}-\d\d-\d\dT[\d:.]+Z","level":"info","msg":"an address was leased","address":"10.0.0.7","vlanId":7\}$/,
    );
  });

  it('leaves out what is below the level', async () => {
    const all = (logger: JsonLogger): void => {
      logger.error('e');
      logger.warn('w');
      logger.info('i');
      logger.debug('d');
    };
    expect(await log(all, { level: 'warn' })).to.have.length(2);
    expect(await log(all, { level: 'debug' })).to.have.length(4);
  });

  it('begins with the priority that systemd understands', async () => {
    const lines = await log(
      (logger) => {
        logger.error('e');
        logger.warn('w');
        logger.info('i');
        logger.debug('d');
      },
      { level: 'debug', priorities: true },
    );
    expect(lines.map((line) => line.slice(0, 4))).to.deep.equal(['<3>{', '<4>{', '<6>{', '<7>{']);
  });

  it('asks the journal first, and writes a line where it does not take an event', async () => {
    const taken: JournalEvent[] = [];
    const journal = {
      send: (event: JournalEvent) => event.message !== 'too long' && taken.push(event) > 0,
    };
    const lines = await log(
      (logger) => {
        logger.child({ component: 'x' }).warn('heard', { big: 7n, err: new NotFound('gone') });
        logger.debug('below the level');
        logger.error('too long', { address: '10.0.0.7' });
      },
      { priorities: true, journal },
    );
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/^<3>\{.*"msg":"too long","address":"10.0.0.7"\}$/);
    expect(taken).to.have.length(1);
    expect(taken[0]).to.include({ priority: 4, message: 'heard' });
    expect(taken[0]?.fields).to.include({ component: 'x', big: '7' });
    expect(taken[0]?.fields.err).to.include({ code: 'not_found', message: 'gone' });
  });

  it('changes its level while it runs, with all its children', async () => {
    const lines = await log((logger) => {
      const child = logger.child({ component: 'x' });
      child.debug('before');
      logger.setLevel('debug');
      child.debug('after');
    });
    expect(lines).to.have.length(1);
  });

  it('writes errors with code, stack and causes, also below other fields', async () => {
    const err = new NotFound('no such network', { cause: new Error('below') });
    const [line = ''] = await log((logger) => logger.error('failed', { err, more: { err } }));
    const event = JSON.parse(line);
    expect(event.err).to.include({ name: 'NotFound', code: 'not_found', message: 'no such network' });
    expect(event.err.stack).to.contain('logger.test');
    expect(event.err.cause.message).to.equal('below');
    expect(event.more.err.code).to.equal('not_found');
  });

  it('puts the fields of a child on every line of it, and of its children', async () => {
    const [one = '', two = ''] = await log((logger) => {
      const child = logger.child({ component: 'ipam' });
      child.info('a');
      child.child({ requestId: 'r1' }).info('b', { component: 'other' });
    });
    expect(JSON.parse(one)).to.include({ component: 'ipam' });
    expect(JSON.parse(two)).to.include({ component: 'other', requestId: 'r1' });
  });

  it('writes a line whatever the fields hold', async () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    const lines = await log((logger) => {
      logger.info('odd', { circular });
      logger.info('odd', { big: 7n, set: new Set([1]), nothing: undefined });
      logger.info('odd', { message: 'm', level: 'l', time: 't', msg: 's', splat: [1], stack: 'x' });
      logger.info('%s is no placeholder');
    });
    expect(lines.map((line) => JSON.parse(line).msg)).to.deep.equal([
      'odd',
      'odd',
      'odd',
      '%s is no placeholder',
    ]);
    expect(JSON.parse(lines[1] ?? '')).to.deep.include({ big: '7', set: [1] });
    expect(JSON.parse(lines[2] ?? '')).to.deep.include({
      level: 'info',
      level_: 'l',
      msg_: 's',
      message: 'm',
    });
  });

  it('takes for the journal only the file that JOURNAL_STREAM names', () => {
    const fd = openSync('/dev/null', 'w');
    const { dev, ino } = fstatSync(fd);
    expect(goesToJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, fd)).to.equal(true);
    expect(goesToJournal({ JOURNAL_STREAM: `${dev}:${ino + 1}` }, fd)).to.equal(false);
    expect(goesToJournal({}, fd)).to.equal(false);
    closeSync(fd);
    expect(goesToJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, fd)).to.equal(false);
  });

  it('survives a stdout that went away', async () => {
    const stream = new PassThrough();
    const logger = JsonLogger.to(stream, { level: 'info', priorities: false });
    stream.destroy(new Error('EPIPE'));
    await new Promise((resolve) => setImmediate(resolve));
    logger.info('nobody reads this');
  });
});
