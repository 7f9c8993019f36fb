import { expect } from 'chai';
import { formatTable } from '../../../core/table.ts';

describe('core/table', () => {
  it('pads columns with two blanks between, marks empty cells, leaves no blanks at line ends', () => {
    expect(
      formatTable(
        ['ID', 'NAME'],
        [
          ['1', 'long name'],
          ['2222', ''],
        ],
      ),
    ).to.equal('ID    NAME\n1     long name\n2222  -\n');
  });

  it('prints the headings of an empty table', () => {
    expect(formatTable(['ID', 'NAME'], [])).to.equal('ID  NAME\n');
  });
});
