import { expect } from 'chai';
import { fieldName, Journal, journalDatagram } from '../../../daemon/journal.ts';

/** The fields of a datagram, as the journal reads them. */
function fieldsOf(datagram: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = 0; at < datagram.length; ) {
    const end = datagram.indexOf('\n', at);
    const line = datagram.toString('utf8', at, end);
    const equals = line.indexOf('=');
    at = end + 1;
    if (equals >= 0) fields[line.slice(0, equals)] = line.slice(equals + 1);
    else {
      const length = Number(datagram.readBigUInt64LE(at));
      fields[line] = datagram.toString('utf8', at + 8, at + 8 + length);
      at += 8 + length + 1;
    }
  }
  return fields;
}

describe('daemon/journal', () => {
  it('writes the sentence, the priority and each field', () => {
    const datagram = journalDatagram({
      priority: 6,
      message: 'plugin call',
      fields: {
        method: 'NetworkDriver.Join',
        durationMs: 3.5,
        other: undefined,
        outcome: 'it said "no"',
      },
    });
    expect(fieldsOf(datagram)).to.deep.equal({
      MESSAGE: 'plugin call method=NetworkDriver.Join durationMs=3.5 outcome="it said \\"no\\""',
      PRIORITY: '6',
      SYSLOG_IDENTIFIER: 'lanius',
      LANIUS_MSG: 'plugin call',
      LANIUS_METHOD: 'NetworkDriver.Join',
      LANIUS_DURATION_MS: '3.5',
      LANIUS_OUTCOME: 'it said "no"',
    });
  });

  it('writes values with line feeds by their length, and no field can be forged by one', () => {
    const fields = fieldsOf(
      journalDatagram({ priority: 3, message: 'broken', fields: { reason: 'a\nPRIORITY=0\nü' } }),
    );
    expect(fields['LANIUS_REASON']).to.equal('a\nPRIORITY=0\nü');
    expect(fields['PRIORITY']).to.equal('3');
    expect(fields['MESSAGE']).to.equal('broken reason="a\\nPRIORITY=0\\nü"');
  });

  it('shows the message of an error and keeps the rest in its field', () => {
    const fields = fieldsOf(
      journalDatagram({
        priority: 3,
        message: 'broken',
        fields: { err: { message: 'no etcd', stack: 'at x' } },
      }),
    );
    expect(fields['MESSAGE']).to.equal('broken err="no etcd"');
    expect(JSON.parse(fields['LANIUS_ERR'] ?? '')).to.deep.equal({ message: 'no etcd', stack: 'at x' });
  });

  it('makes names that the journal takes', () => {
    expect(fieldName('networkId')).to.equal('LANIUS_NETWORK_ID');
    expect(fieldName('a-b.c=\nd')).to.equal('LANIUS_A_B_C__D');
    expect(fieldName('x'.repeat(100)).length).to.equal(64);
  });

  it('says that it has not taken what nobody hears', () => {
    const journal = new Journal('/run/there-is-no-such-socket');
    expect(journal.send({ priority: 6, message: 'x', fields: {} })).to.equal(false);
  });
});
