"""Long work in short steps, so that the window answers between them.

Steps are a generator: each ``yield`` ends a step, ``return`` gives the outcome. A step yields `FINAL` once it must
not be stopped any more, because it has begun to change the scene.
"""

import qt

FINAL = "final"


def runAll(steps):
    """Take all steps at once, as scripts do, and return the outcome."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def runInTurns(steps, isStopped, onDone, onStopped, onError):
    """Take one step in each turn of the event loop; exactly one of the last three functions is called.

    The first step is always taken; before each further one isStopped(isFinal) is asked. onError(error) gets what a
    step raised.
    """
    states = []

    def advance():
        if states and isStopped(states[-1] == FINAL):
            steps.close()
            onStopped()
            return
        try:
            states.append(next(steps))
        except StopIteration as end:
            onDone(end.value)
        except Exception as error:  # the border of the event loop: whoever waits must hear of it
            onError(error)
        else:
            qt.QTimer.singleShot(0, advance)

    qt.QTimer.singleShot(0, advance)
