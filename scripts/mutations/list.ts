/** Every mutation of `npm run test:mutations`. One that changes no result is not a mutation: take another. */
import { attention } from './attention.ts'
import { elements } from './elements.ts'
import { norms } from './norms.ts'
import { products } from './products.ts'
import { runtime } from './runtime.ts'

export const mutatedFiles = [...products, ...attention, ...norms, ...elements, ...runtime]
