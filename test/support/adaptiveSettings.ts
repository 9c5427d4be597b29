/** What tests of learning-rate-free steps have in common. */
export { adaptiveSettings as settings } from '../../lib/doctor/tensorwiseCases.ts'

export const groups = [
  { factor: 1, weightDecay: 0.1, eps: 1e-8 },
  { factor: 0.5, weightDecay: 0, eps: 1e-6 },
]
