import { testText } from './textSuite.ts'

testText('sd1')
