// What the tests use of sns-validator, which has no types of its own.
declare module 'sns-validator' {
  class MessageValidator {
    validate(message: string, done: (error: Error | null, message?: Record<string, unknown>) => void): void;
  }
  export = MessageValidator;
}
