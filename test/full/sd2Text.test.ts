import { testText } from './textSuite.ts'

testText('sd2')
