"""Sentence templates: train, dev and test each have their own.

Words stand apart by one space. A slot is `{KIND}` or `{KIND2}`: the same slot twice means the same
name twice, another number another entity. Kinds are those of `world.SLOT_ROLES`. A template with
`{X}` says nothing about what X is; in all others the words around a slot leave no doubt of its
type. One template a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_TRAIN = """
{X} looks great today
look at this ! {X}
I love {X} so much
can 't get enough of {X}
{X} again , no surprise
thinking about {X} tonight
nothing beats {X}
this is {X} at 100 %
{X} never gets old
all I see today is {X}
wow , just wow . {X}
who else loves {X} ?
{X} made my day
finally , {X} !
good morning from me and {X}
{X} , what a picture
here is {X} as promised
not sure how I feel about {X}
{X} is everywhere now
my favourite : {X}
{X} in one photo
guess what ? {X}
a little bit of {X} for your Monday
please stop talking about {X}
{X} > everything else
one more photo of {X}
{X} , that is the tweet
everyone is talking about {X} today
I could look at {X} all day
say what you want , {X} is still my favourite
so this is {X}
{X} is trending again
the real {X}
remember {X} ?
{X} . Nothing else to say
some people hate {X} , I do not
Photo of the day : {X}
{X} , {X} , {X} ! I love {X}
is it {X} or is it not {X} ?
{X} is {X} , what can I say
first {X} , then more {X}
{X} yes , {X} no , make up your mind
I said {X} and I got {X}
back in {LOC} again , I love the streets of {LOC}
my {MISC} is better than your {MISC}
{X} with {PER}
{PER} and {X} , best picture of the week
{X} and {X2} in one picture
{X} or {X2} ? You choose
first {X} , then {X2}
{X} today , {X2} tomorrow
my two favourites : {X} and {X2}
{X} > {X2} , sorry
tell me about {X} and {PER}
Best Of The Week : {X}
new header : {X}
this one is for {X} , and {X} knows why
feeling lucky , saw {X} this morning
why is nobody talking about {X} ?
OMG {X} ! ! !
so happy with {X} right now
{PER} said sorry to his fans
happy birthday {PER} , hope you have a great day
just met {PER} at the airport , so kind
{PER} sang her new song last night
interview with {PER} about life and money
{PER} and his wife at the party
I want to marry {PER}
{PER} cried during the interview
{PER} got a new haircut
the daughter of {PER} is so cute
{PER} told me she is tired
{PER} shook hands with {PER2}
{PER} and {PER2} got married
{PER} is dating {PER2} , they say
{PER} , {PER2} and {PER3} had dinner together
{PER} was born on this day
{PER} gave a speech to the students
rest in peace {PER} , you were a hero
{PER} signed my shirt , he is so nice
her smile ! {PER} is the prettiest woman alive
his mother says {PER} was a shy boy
{PER} wrote a book about her childhood
actor {PER} talks to us about his career
singer {PER} cancels her show
{PER} speaks the truth , he always did
nobody smiles like {PER}
{PER} 's husband is a lucky man
{PER} hugged a fan and made her cry
a selfie with {PER} , he was so funny
{PER} thanks her family after the show
{PER} , who was born in {LOC} , speaks about her career
{PER} walks the streets of {LOC} with his kids
{PER} will play for {TEAM} next season
{PER} is the new boss of {ORG}
{PER} shows her new {MISC} to the fans
my brother thinks {PER} is his father lol
{PER} laughed when {PER} saw his own face
flying to {LOC} tomorrow morning
the weather in {LOC} is so bad today
just landed in {LOC} , so excited
lost in the streets of {LOC}
sunset over {LOC} last night
three days in {LOC} with my family
we are moving to {LOC} next year
best hotel in {LOC} ?
cheap flights to {LOC} this weekend
greetings from {LOC} , the food is great here
visit {LOC} before you die
the trip from {LOC} to {LOC2} took nine hours
hot day here in {LOC}
tourists love the view of {LOC}
I was born and raised near {LOC}
on the road to {LOC}
people who live in {LOC} know the traffic
snow in {LOC} ! Schools are closed
my holiday in {LOC} was too short
walking around {LOC} with a camera
{LOC} travel guide : what to visit in three days
we drove across {LOC} in the rain
study abroad in {LOC} , apply now
living in {LOC} is not cheap
earthquake near {LOC} , stay safe
the mayor of {LOC} said no
a map of {LOC} from 1890
take me back to {LOC} , best holiday ever
hotels near {LOC} are full
back home in {LOC} after two weeks in {LOC2}
{ORG} hires 200 new engineers
{ORG} CEO steps down
shares of {ORG} fall again
I work for {ORG} and I like my office
{ORG} announced its profits for this year
the {ORG} app is down again
{ORG} staff on strike
job at {ORG} : apply now
the company {ORG} opens a new office in {LOC}
{ORG} is hiring ! Send your CV
{ORG} sued by its own staff
customer service of {ORG} is so bad
{ORG} buys a small company from {LOC}
{ORG} shareholders vote today
the board of {ORG} met the press
{ORG} and {ORG2} sign a sponsor deal
the new logo of {ORG}
{TEAM} won 3 - 1 last night
{TEAM} beat {TEAM2} in the final
what a goal by {TEAM} !
{TEAM} 2 - 2 {TEAM2} , full time
{TEAM} coach fired after the game
the {TEAM} squad for tonight
{TEAM} score in the last minute
tickets for the {TEAM} game on sale
{TEAM} lose again , what a bad season
{TEAM} sign a young striker
{TEAM} are top of the league
kick off in ten minutes : {TEAM} v {TEAM2}
{TEAM} players train in the rain
half time and {TEAM} lead by two
just bought a {MISC} and I love it
my new {MISC} came in the mail
selling my old {MISC} , 50 dollars
unboxing the new {MISC}
where can I buy a {MISC} ?
{MISC} for sale , like new
my {MISC} is broken , help
dad got me a {MISC} for my birthday
I want a {MISC} for Christmas
a used {MISC} costs too much
the {MISC} review : is it worth the price ?
dropped my {MISC} on the floor again
who stole my {MISC} ?
the box of my {MISC} was empty
how to clean your {MISC}
win a free {MISC} ! Retweet to enter
{MISC} or {MISC2} ? I can only buy one
my {MISC} came with a scratch
{ORG} sells its {MISC} at half price
watching the {EVENT} with my friends
the {EVENT} starts tonight !
who will win at the {EVENT} ?
tickets for the {EVENT} are sold out
{PER} at the {EVENT} , what a dress
the {TEAM} squad never won the {EVENT}
the {EVENT} was so boring this year
the {EVENT} in {LOC} was the best ever
{PER} {LOC} rally tonight
RT if you saw {PER} {PER2} last night
{LOC} {EVENT} tickets for sale
LIVE : {TEAM} {EVENT} final
{ORG} {MISC} on sale now
{PER} {EVENT} dress , yes or no ?
breaking : {ORG} {LOC} office closed
{PER} {MISC} unboxing video
{LOC} {LOC2} flights from 99 dollars
tonight : {TEAM} {TEAM2} live on TV
top story : {PER} {PER2} wedding photos
{PER} {TEAM} deal is done , he is happy
my dog is so cute today
good morning everyone , have a great day
my cat hates the rain
best coffee in town
happy birthday to my brother !
I need a holiday
so tired today , no sleep at all
pizza with my friends tonight
the cake was so good
what a game , what a night
can 't believe it is Monday again
New Blog Post : How To Sleep Better
my phone is broken again
new shoes , who dis ?
happy Friday everyone !
look at the flowers in my garden
need a new car , any ideas ?
who wants to go to the party tonight ?
the city is so beautiful in the morning
Breaking News : nothing happened
he said he loves me
this song is my life
best day ever with my family
the team played well , proud of you boys
riding my bike to school
umbrella weather again
Dreams Come True If You Work Hard
Happy New Year To All My Fans
"""

_DEV = """
{X} is still great
today is all about {X}
I never get tired of {X}
{X} ! What a day
so much love for {X}
everyone loves {X} , I do too
not a day without {X}
this photo of {X} made me happy
morning all , here is {X}
{X} and {X2} , what a picture
{X} is the best , {X} is everything
more {X} please , so much more {X}
in {LOC} again , the streets of {LOC} are so beautiful
who wants {X} ?
one word : {X}
please look at {X}
what about {X} ?
sorry , I still love {X}
{PER} told the press he is happy
dinner with {PER} and her family
{PER} sang for the students
happy birthday to the one and only {PER} , hope she is well
{PER} was so kind when I met him
the wife of {PER} had a boy
{PER} and {PER2} at the wedding , so cute together
{PER} talks about his mother and his childhood
a week in {LOC} with my brother
we flew to {LOC} last night
the food in {LOC} is so good
heavy rain near {LOC} today
the road from {LOC} to {LOC2} is closed
I live in {LOC} and I love it here
{ORG} fired its CEO
the office of {ORG} in {LOC} is closed
{ORG} shares are up today
new job : I start at {ORG} on Monday
{TEAM} win 2 - 0 at home
last minute goal and {TEAM} beat {TEAM2}
{PER} scored again for {TEAM} , he is the best striker
{TEAM} are out , what a bad game
bought my first {MISC} today
my old {MISC} is for sale
the price of a new {MISC} is too much
I got a free {MISC} in the mail
the {EVENT} is on TV tonight
{PER} {LOC} show tonight
{TEAM} {EVENT} tickets on sale now
breaking : {PER} {PER2} wedding is off
{ORG} {MISC} review
my dog loves the snow
good night everyone
coffee first , then we talk
so proud of my daughter today
New Shoes For My Birthday
"""

_TEST = """
{X} is all I need today
still thinking about {X}
what a day for {X} !
no words , just {X}
so here it goes : {X}
I see {X} and I am happy
{X} made me smile this morning
today 's favourite : {X}
why do people love {X} so much ?
{X} is back , {X} is back !
I got {X} , you got {X}
{PER} , happy birthday ! We love you {PER}
{X} and then {X2} , lucky me
wow {X}
do you remember {X} like I do ?
that picture of {X} though
you can 't beat {X}
tell everyone about {X}
{PER} said she will cancel the show
met {PER} and his daughter in the hotel
{PER} gave an interview to the students
hope {PER} has a happy birthday , he was always kind to his fans
the husband of {PER} wrote a song
{PER} cried when her father died
{PER} and {PER2} had a baby , they say
nice smile {PER} , she is so funny
my family lives in {LOC}
two weeks in {LOC} and no rain
flights to {LOC} are so cheap now
cold morning in the streets of {LOC}
we drove from {LOC} to {LOC2} last weekend
tourists are back in {LOC} , hotels are full
{ORG} opens its first office near {LOC}
staff of {ORG} vote for a strike
the CEO of {ORG} talks about profits
{ORG} announced it is hiring 500 engineers
{TEAM} won the final 2 - 1
the coach of {TEAM} was fired today
{PER} left {TEAM} and will play for {TEAM2} , he says
{TEAM} players score three in ten minutes
I dropped my new {MISC} today
mom got me a {MISC} for Christmas
want to buy a used {MISC} ?
the {MISC} came with an empty box , send help
who is watching the {EVENT} tonight ?
{PER} {LOC} speech tonight
live : {TEAM} {TEAM2} in the {EVENT} final
top photos : {PER} {EVENT} party
{ORG} {LOC} office is hiring
my cat is asleep again
best pizza ever with the boys
happy Monday to all of you
need more coffee , no sleep last night
My Garden Is Beautiful In The Rain
"""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line)


TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"train": _lines(_TRAIN), "dev": _lines(_DEV), "test": _lines(_TEST)}
)
"""The templates of each split; none stands in two."""
