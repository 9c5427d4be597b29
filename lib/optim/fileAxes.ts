/** The axes that published optimizers see: those of a parameter in files, which convolutions do not have in memory. */
import { type FileLayout, fileShape } from '../nn/weights.ts'
import type { FactoredAxes } from '../ops/tensorStep.ts'
import type { Shape } from '../tensor/shape.ts'
import type { OptimizerParameter } from './optimizer.ts'

function layoutOf({ layout, master }: OptimizerParameter): FileLayout {
  return layout ?? (master.rank === 4 ? 'conv' : 'same')
}

/** The shape a parameter has in files. */
export function shapeInFile(parameter: OptimizerParameter): Shape {
  return fileShape(parameter.master.shape, layoutOf(parameter))
}

/**
 * How a parameter is factored: over the last two axes it has in files, which for convolutions are those of the kernel.
 *
 * @param flattenConv see a convolution as a matrix of its outputs by all else, which takes far less memory
 * @returns null for a parameter of fewer than two axes
 */
export function factoredAxes(parameter: OptimizerParameter, flattenConv: boolean): FactoredAxes | null {
  const { shape, size } = parameter.master
  const layout = layoutOf(parameter)
  if (shape.length < 2 || size === 0) return null
  if (layout !== 'same') {
    const outputs = shape[0]!
    if (flattenConv) return [1, outputs, size / outputs, 1]
    const [height, width] = layout === 'conv' ? [shape[1]!, shape[2]!] : [1, 1]
    return [outputs, height, width, size / (outputs * height * width)]
  }
  const [rows, columns] = shape.slice(-2) as [number, number]
  return [size / (rows * columns), rows, columns, 1]
}

/** Shapes of the sums over columns and over rows, in the order of memory. */
export function factoredShapes([outer, rows, columns, inner]: FactoredAxes): readonly [Shape, Shape] {
  const shape = (size: number): Shape => [...(outer > 1 ? [outer] : []), size, ...(inner > 1 ? [inner] : [])]
  return [shape(rows), shape(columns)]
}
