import { expect } from 'chai';
import { Output } from '../../../cli/output.ts';

describe('cli/output', () => {
  let said: string[];
  const out = (text: string): void => {
    said.push(text);
  };
  const err = (): void => {};
  beforeEach(() => {
    said = [];
  });

  it('prints one table after the other where there is no terminal, and one line each as JSON', () => {
    const table = new Output('table', { out, err });
    for (const text of ['a\nb\n', 'c\n']) table.live({}, () => text);
    expect(said.join('')).to.equal('a\nb\n\nc\n');
    said = [];
    const json = new Output('json', { out, err });
    for (const value of [{ a: 1 }, { a: 2 }]) json.live(value, () => '');
    expect(said.join('')).to.equal('{"a":1}\n{"a":2}\n');
  });

  it('writes over the screen of a terminal, and no more than fits', () => {
    const table = new Output('table', { out, err, screen: () => ({ rows: 3, columns: 4 }) });
    table.live({}, () => 'one line\ntwo\nthree\nfour\n');
    table.live({}, () => 'x\n');
    expect(said).to.deep.equal(['\x1b[2J\x1b[Hone \x1b[K\ntwo\x1b[K\n\x1b[J', '\x1b[Hx\x1b[K\n\x1b[J']);
  });
});
