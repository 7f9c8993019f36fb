import { expect } from 'chai';
import { layoutOf } from '../../../store/layout.ts';

describe('store/layout', () => {
  const layout = layoutOf('/lanius/v1/');

  it('says what the key of a limit is about', () => {
    const one = { containerName: 'web', direction: 'in' } as const;
    expect(layout.limit(one)).to.equal('/lanius/v1/limits/name/web/in');
    expect(layout.limit({ ...one, host: 'h1' })).to.equal('/lanius/v1/limits/host/h1/web/in');
    for (const limit of [one, { ...one, host: 'h1', direction: 'out' } as const])
      expect(layout.limitOf(layout.limit(limit))).to.deep.equal(limit);
  });

  it('passes over keys of limits that do not fit', () => {
    for (const path of [
      'name/web',
      'name/web/up',
      'name//in',
      'name/a/b/in',
      'host/web/in',
      'x/web/in',
      'host/h1//in',
    ])
      expect(layout.limitOf(`/lanius/v1/limits/${path}`), path).to.equal(undefined);
    expect(layout.limitOf('/lanius/v1/hosts/h1')).to.equal(undefined);
  });
});
