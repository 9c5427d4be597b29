import { describe, expect, it } from 'vitest'
import { type NetworkArgumentsContext, readNetworkArguments } from '../../../lib/train/options/networkArguments.ts'

const read = (texts: readonly string[], context: NetworkArgumentsContext = {}) => readNetworkArguments(texts, context)
const many = (value: number): string => new Array(25).fill(value).join(',')

describe('the arguments of a network', () => {
  it('are none by default, and plain LoRA', () => {
    expect(read([])).toEqual({ facts: {}, problems: [] })
    const none = { convRank: null, convAlpha: null, rankDropout: null, moduleDropout: null, blocks: null }
    expect(read(['mid_lr_weight=1']).facts.choice).toEqual({ kind: 'lora', ...none })
  })

  it('are all those of LoRA', () => {
    const texts = [
      ...['conv_dim=8', 'conv_alpha=0.5', 'rank_dropout=0.1', 'module_dropout=0.2', `block_dims=${many(4)}`],
      ...[`block_alphas=${many(1)}`, `conv_block_dims=${many(2)}`, `conv_block_alphas=${many(0.5)}`],
      ...['down_lr_weight=sine', 'mid_lr_weight=0.5', 'up_lr_weight=zeros+1', 'block_lr_zero_threshold=0.1'],
      ...['loraplus_lr_ratio=4', 'loraplus_unet_lr_ratio=2'],
    ]
    const { facts, problems } = read(texts)
    expect(problems).toEqual([])
    expect(Object.keys(facts.args!)).toHaveLength(texts.length)
    expect(facts.loraPlus).toEqual({ unet: 2, textEncoder: 4 })
    expect(facts.blockWeights!.slice(11, 14)).toEqual([1, 0.5, 1])
    const [ranks, alphas, convRanks, convAlphas] = [4, 1, 2, 0.5].map((value) => new Array(25).fill(value))
    expect(facts.choice).toEqual({
      kind: 'lora',
      convRank: 8,
      convAlpha: 0.5,
      rankDropout: 0.1,
      moduleDropout: 0.2,
      blocks: { ranks, alphas, convRanks, convAlphas },
    })
  })

  it.each([
    [['rank_dropuot=0.1'], 'unknown argument "rank_dropuot"', 'Did you mean "rank_dropout"?'],
    [['unit=2'], 'unknown argument "unit"; networks.lora has conv_dim', ''],
    [['conv_dim'], 'must be key=value', ''],
    [['conv_dim=8', 'conv_dim=4'], 'conv_dim is given twice', ''],
    [['conv_dim=0'], 'conv_dim must be a whole number of 1 or more, found "0"', ''],
    [['rank_dropout=1'], 'rank_dropout must be a number in [0, 1), found "1"', ''],
    [['module_dropout='], 'module_dropout must be a number in [0, 1), found ""', ''],
    [['block_dims=4,4'], 'block_dims must be 25 whole numbers of at least 0', 'found 2'],
    [[`block_dims=${many(1.5)}`], 'block_dims must be 25 whole numbers', '1.5'],
    [['conv_alpha=1'], 'conv_alpha has no effect without conv_dim or conv_block_dims', ''],
    [[`block_alphas=${many(1)}`], 'block_alphas has no effect without block_dims', ''],
    [[`conv_block_dims=${many(1)}`], 'conv_block_dims has no effect without block_dims', ''],
    [
      [`block_dims=${many(1)}`, `conv_block_alphas=${many(1)}`],
      'conv_block_alphas has no effect without conv_block_dims',
      '',
    ],
    [['loraplus_lr_ratio=0'], 'loraplus_lr_ratio must be a number above 0', ''],
  ])('are refused with the reason: %s', (texts, message, hint) => {
    const { problems } = read(texts)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(message)
    expect(problems[0]).toContain(hint)
  })

  it('are all refused at once', () => {
    const { problems } = read(['conv_dim=x', 'rank_dropout=2', 'what=1', 'down_lr_weight=5'])
    expect(problems).toHaveLength(4)
  })

  it('are those of DyLoRA', () => {
    const context = { module: 'networks.dylora', dim: 8 }
    const { facts, problems } = read(['unit=4', 'conv_dim=8', 'loraplus_lr_ratio=2'], context)
    expect(problems).toEqual([])
    expect(facts.choice).toEqual({ kind: 'dylora', unit: 4, convolutions: true })
    const wrong = read(['unit=3', 'conv_dim=4', 'conv_alpha=1'], { ...context, dropout: 0.1 }).problems.join('\n')
    for (const text of [
      'unit must divide --network_dim',
      'must be that of --network_dim',
      'conv_alpha has no effect',
      'no dropout',
    ])
      expect(wrong).toContain(text)
    expect(read(['rank_dropout=0.1'], context).problems[0]).toContain('networks.dylora has unit, conv_dim')
  })

  it('are those of LyCORIS', () => {
    const module = 'lycoris.kohya'
    expect(read([], { module }).facts.choice).toMatchObject({ kind: 'locon', preset: 'full' })
    const kron = ['algo=LoKr', 'factor=8', 'decompose_both=True', 'full_matrix=false', 'unbalanced_factorization=1']
    const { facts, problems } = read([...kron, 'conv_dim=2', 'conv_alpha=1', 'use_tucker=False'], { module })
    expect(problems).toEqual([])
    expect(facts.choice).toEqual({
      kind: 'lokr',
      preset: 'full',
      convRank: 2,
      convAlpha: 1,
      rankDropout: null,
      moduleDropout: null,
      factor: 8,
      decomposeBoth: true,
      fullMatrix: false,
      unbalanced: true,
    })
    expect(read(['algo=locon', 'dropout=0.1'], { module }).facts.choice).toMatchObject({ dropout: 0.1 })
  })

  it.each([
    [['algo=glora'], 'algo must be one of lora, locon, loha, lokr, found "glora"'],
    [['preset=mine.toml'], 'preset must be one of full, full-lin'],
    [['algo=loha', 'factor=4'], 'factor has no effect without algo=lokr'],
    [['algo=lokr', 'factor=0'], 'factor must be a number -1 or a whole number above 0'],
    [['algo=loha', 'dora_wd=True'], 'dora_wd=True asks for DoRA, which is not built'],
    [['algo=loha', 'use_tucker=maybe'], 'use_tucker must be True or False'],
    [['algo=loha', 'dropout=0.1'], 'algo=loha has no dropout of elements'],
    [['algo=lokr', 'loraplus_lr_ratio=2'], 'loraplus_lr_ratio has no effect without lora_up matrices'],
    [['preset=attn-mlp', 'conv_dim=4'], 'conv_dim has no effect with preset=attn-mlp'],
  ])('of LyCORIS that are not built or have no effect are refused: %s', (texts, message) => {
    const { problems } = read(texts, { module: 'lycoris.kohya' })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(message)
  })

  it("of a class of the user's own are left to it", () => {
    const { facts, problems } = read(['anything=1', 'conv_dim=x'], { module: './mine.js#Network' })
    expect({ facts, problems }).toEqual({ facts: { args: { anything: '1', conv_dim: 'x' } }, problems: [] })
  })
})
